-- Refreshing ahead of time: when a connection is looked at next, to be renewed
-- or verified, and how often that has failed in a row.
ALTER TABLE connections ADD COLUMN due_at bigint;
ALTER TABLE connections ADD COLUMN failures bigint NOT NULL DEFAULT 0 CONSTRAINT connections_failures CHECK (failures >= 0);
UPDATE connections
SET due_at = coalesce(expires_at, (extract(epoch FROM now()) * 1000000 + random() * 86400000000)::bigint) -- over a day, not at once
WHERE status = 'active';
CREATE INDEX connections_due        ON connections (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX connections_due_urgent ON connections (expires_at, due_at) WHERE due_at IS NOT NULL;

-- One audit entry for each read, in place of one for each minute.
ALTER TABLE environments ADD COLUMN strict_reads boolean NOT NULL DEFAULT FALSE;

-- What happened to connections, for whoever follows. A position is given once
-- the event is committed, in one order for all, so that nobody who reads up to
-- a position misses what comes to light before it later. Among those that wait
-- for one the order is seq, which whoever has locked a connection takes after
-- those before: no clock decides what came first.
CREATE TABLE events (
    seq            bigint GENERATED ALWAYS AS IDENTITY,
    id             text COLLATE "C" NOT NULL,
    environment_id text COLLATE "C" NOT NULL,
    position       bigint,
    at             bigint NOT NULL,
    type           text COLLATE "C" NOT NULL,
    connection_id  text COLLATE "C" NOT NULL, -- no foreign key: it may be deleted
    integration    text COLLATE "C" NOT NULL, -- the key
    provider       text COLLATE "C" NOT NULL,
    end_user_id    text COLLATE "C" NOT NULL,
    status         text COLLATE "C" NOT NULL,
    reason         text COLLATE "C" NOT NULL,
    generation     bigint NOT NULL,
    CONSTRAINT events_pkey           PRIMARY KEY (seq),
    CONSTRAINT events_id_key         UNIQUE (id),
    CONSTRAINT events_position_key   UNIQUE (position),
    CONSTRAINT events_environment_id FOREIGN KEY (environment_id) REFERENCES environments (id),
    CONSTRAINT events_generation     CHECK (generation >= 1),
    CONSTRAINT events_length         CHECK (length(id) BETWEEN 1 AND 64 AND length(type) BETWEEN 1 AND 64 AND length(connection_id) <= 64 AND length(reason) <= 128)
);
CREATE INDEX events_list       ON events (environment_id, position) WHERE position IS NOT NULL;
CREATE INDEX events_unnumbered ON events (seq) WHERE position IS NULL;

CREATE TABLE event_counter (
    id   bigint NOT NULL,
    last bigint NOT NULL,
    CONSTRAINT event_counter_pkey   PRIMARY KEY (id),
    CONSTRAINT event_counter_is_one CHECK (id = 1)
);
INSERT INTO event_counter (id, last) VALUES (1, 0);
