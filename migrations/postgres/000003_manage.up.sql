-- Sessions in which end users manage what they have linked. A reconnect that is
-- begun there is a session of its own, and ends with the one it was begun in.
ALTER TABLE connect_sessions ADD COLUMN kind text COLLATE "C" NOT NULL DEFAULT 'connect' CONSTRAINT connect_sessions_kind CHECK (kind IN ('connect', 'manage'));
ALTER TABLE connect_sessions ADD COLUMN parent_id text COLLATE "C" CONSTRAINT connect_sessions_parent_id REFERENCES connect_sessions (id) ON DELETE CASCADE;
CREATE INDEX connect_sessions_by_parent ON connect_sessions (parent_id) WHERE parent_id IS NOT NULL;
