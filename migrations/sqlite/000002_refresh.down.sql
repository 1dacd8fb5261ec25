DROP TABLE event_counter;
DROP TABLE events;
ALTER TABLE environments DROP COLUMN strict_reads;
DROP INDEX connections_due_urgent;
DROP INDEX connections_due;
ALTER TABLE connections DROP COLUMN failures;
ALTER TABLE connections DROP COLUMN due_at;
