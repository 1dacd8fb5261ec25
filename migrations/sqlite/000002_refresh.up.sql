-- Refreshing ahead of time: when a connection is looked at next, to be renewed
-- or verified, and how often that has failed in a row.
ALTER TABLE connections ADD COLUMN due_at INTEGER;
ALTER TABLE connections ADD COLUMN failures INTEGER NOT NULL DEFAULT 0 CONSTRAINT connections_failures CHECK (failures >= 0);
UPDATE connections
SET due_at = coalesce(expires_at, unixepoch() * 1000000 + abs(random() % 86400000000)) -- over a day, not at once
WHERE status = 'active';
CREATE INDEX connections_due        ON connections (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX connections_due_urgent ON connections (expires_at, due_at) WHERE due_at IS NOT NULL;

-- One audit entry for each read, in place of one for each minute.
ALTER TABLE environments ADD COLUMN strict_reads INTEGER NOT NULL DEFAULT 0 CONSTRAINT environments_booleans CHECK (strict_reads IN (0, 1));

-- What happened to connections, for whoever follows. A position is given once
-- the event is committed, in one order for all, so that nobody who reads up to
-- a position misses what comes to light before it later. Among those that wait
-- for one the order is seq, which whoever has locked a connection takes after
-- those before: no clock decides what came first.
CREATE TABLE events (
    seq            INTEGER NOT NULL,
    id             TEXT    NOT NULL,
    environment_id TEXT    NOT NULL,
    position       INTEGER,
    at             INTEGER NOT NULL,
    type           TEXT    NOT NULL,
    connection_id  TEXT    NOT NULL, -- no foreign key: it may be deleted
    integration    TEXT    NOT NULL, -- the key
    provider       TEXT    NOT NULL,
    end_user_id    TEXT    NOT NULL,
    status         TEXT    NOT NULL,
    reason         TEXT    NOT NULL,
    generation     INTEGER NOT NULL,
    CONSTRAINT events_pkey           PRIMARY KEY (seq),
    CONSTRAINT events_id_key         UNIQUE (id),
    CONSTRAINT events_position_key   UNIQUE (position),
    CONSTRAINT events_environment_id FOREIGN KEY (environment_id) REFERENCES environments (id),
    CONSTRAINT events_generation     CHECK (generation >= 1),
    CONSTRAINT events_length         CHECK (length(id) BETWEEN 1 AND 64 AND length(type) BETWEEN 1 AND 64 AND length(connection_id) <= 64 AND length(reason) <= 128)
) STRICT;
CREATE INDEX events_list       ON events (environment_id, position) WHERE position IS NOT NULL;
CREATE INDEX events_unnumbered ON events (seq) WHERE position IS NULL;

CREATE TABLE event_counter (
    id   INTEGER NOT NULL,
    last INTEGER NOT NULL,
    CONSTRAINT event_counter_pkey   PRIMARY KEY (id),
    CONSTRAINT event_counter_is_one CHECK (id = 1)
) STRICT;
INSERT INTO event_counter (id, last) VALUES (1, 0);
