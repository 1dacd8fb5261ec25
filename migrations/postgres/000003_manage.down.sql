DROP INDEX connect_sessions_by_parent;
ALTER TABLE connect_sessions DROP COLUMN parent_id;
ALTER TABLE connect_sessions DROP COLUMN kind;
