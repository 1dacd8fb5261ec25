-- Times are microseconds since 1970 in UTC; NULL is "never" or "not known".
-- Booleans are 0 and 1. JSON is text: it is written and read whole, and nothing
-- asks for a part of it. This is the schema of Postgres in the types of SQLite;
-- a change goes to both.

CREATE TABLE environments (
    id         TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    keyset     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    strict_reads INTEGER NOT NULL DEFAULT 0, -- one audit entry for each read, in place of one for each minute
    CONSTRAINT environments_booleans      CHECK (strict_reads IN (0, 1)),
    CONSTRAINT environments_pkey          PRIMARY KEY (id),
    CONSTRAINT environments_name_key      UNIQUE (name),
    CONSTRAINT environments_id_length     CHECK (length(id) BETWEEN 1 AND 64),
    CONSTRAINT environments_name_length   CHECK (length(name) BETWEEN 1 AND 64),
    CONSTRAINT environments_keyset_length CHECK (length(keyset) BETWEEN 1 AND 65536)
) STRICT;

-- The people who look after this installation. They belong to no environment.
CREATE TABLE admins (
    id                TEXT    NOT NULL,
    issuer            TEXT    NOT NULL, -- with subject who they are at an OpenID provider; empty for those who sign in by links only
    subject           TEXT    NOT NULL,
    email             TEXT    NOT NULL,
    name              TEXT    NOT NULL,
    role              TEXT    NOT NULL,
    created_at        INTEGER NOT NULL,
    last_signed_in_at INTEGER,
    removed_at        INTEGER,
    CONSTRAINT admins_pkey            PRIMARY KEY (id),
    CONSTRAINT admins_role            CHECK (role IN ('viewer', 'operator', 'owner')),
    CONSTRAINT admins_identity        CHECK ((issuer = '') = (subject = '')),
    CONSTRAINT admins_id_length       CHECK (length(id) BETWEEN 1 AND 64),
    CONSTRAINT admins_identity_length CHECK (length(issuer) <= 2048 AND length(subject) <= 255),
    CONSTRAINT admins_people_length   CHECK (length(email) <= 512 AND length(name) BETWEEN 1 AND 512)
) STRICT;
CREATE UNIQUE INDEX admins_identity_key ON admins (issuer, subject) WHERE subject <> '';

-- A stay of an admin in one browser, and the environment that it looks at.
CREATE TABLE admin_sessions (
    id               TEXT    NOT NULL,
    admin_id         TEXT    NOT NULL,
    environment_id   TEXT    NOT NULL,
    token_hash       BLOB    NOT NULL,
    trip_hash        BLOB, -- of the trip to the OpenID provider that began it: one trip begins one session
    method           TEXT    NOT NULL,
    role             TEXT    NOT NULL, -- at sign-in
    provider_session TEXT    NOT NULL, -- sid, for back-channel logout
    address          TEXT    NOT NULL,
    agent            TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    seen_at          INTEGER NOT NULL,
    ended_at         INTEGER,
    CONSTRAINT admin_sessions_pkey           PRIMARY KEY (id),
    CONSTRAINT admin_sessions_admin_id       FOREIGN KEY (admin_id) REFERENCES admins (id),
    CONSTRAINT admin_sessions_environment_id FOREIGN KEY (environment_id) REFERENCES environments (id),
    CONSTRAINT admin_sessions_method         CHECK (method IN ('oidc', 'link')),
    CONSTRAINT admin_sessions_role           CHECK (role IN ('viewer', 'operator', 'owner')),
    CONSTRAINT admin_sessions_trip           CHECK ((method = 'oidc') = (trip_hash IS NOT NULL)),
    CONSTRAINT admin_sessions_hash_is_sha256 CHECK (length(token_hash) = 32 AND length(trip_hash) = 32),
    CONSTRAINT admin_sessions_id_length      CHECK (length(id) BETWEEN 1 AND 64),
    CONSTRAINT admin_sessions_length         CHECK (length(provider_session) <= 512 AND length(address) <= 64 AND length(agent) <= 512)
) STRICT;
CREATE UNIQUE INDEX admin_sessions_trip_key    ON admin_sessions (trip_hash) WHERE trip_hash IS NOT NULL;
CREATE INDEX        admin_sessions_by_admin    ON admin_sessions (admin_id, id);
CREATE INDEX        admin_sessions_by_provider ON admin_sessions (provider_session) WHERE provider_session <> '';
CREATE INDEX        admin_sessions_by_seen     ON admin_sessions (seen_at);

-- Links that sign an admin in, once.
CREATE TABLE admin_links (
    id         TEXT    NOT NULL,
    admin_id   TEXT    NOT NULL,
    token_hash BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER,
    CONSTRAINT admin_links_pkey           PRIMARY KEY (id),
    CONSTRAINT admin_links_token_hash_key UNIQUE (token_hash),
    CONSTRAINT admin_links_admin_id       FOREIGN KEY (admin_id) REFERENCES admins (id),
    CONSTRAINT admin_links_hash_is_sha256 CHECK (length(token_hash) = 32),
    CONSTRAINT admin_links_id_length      CHECK (length(id) BETWEEN 1 AND 64)
) STRICT;
CREATE INDEX admin_links_by_admin  ON admin_links (admin_id);
CREATE INDEX admin_links_by_expiry ON admin_links (expires_at);

-- The hash of an API key, never the key.
CREATE TABLE api_keys (
    id             TEXT    NOT NULL,
    environment_id TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    prefix         TEXT    NOT NULL,
    hash           BLOB    NOT NULL,
    scopes         TEXT    NOT NULL, -- words separated by spaces: the hot path reads them
    integrations   TEXT    NOT NULL DEFAULT '', -- keys, as words; empty is no limit
    addresses      TEXT    NOT NULL DEFAULT '', -- CIDRs, as words; empty is no limit
    replaces_id    TEXT, -- the key that this one was made to take over from
    expires_at     INTEGER,
    revoked_at     INTEGER,
    last_used_at   INTEGER,
    created_at     INTEGER NOT NULL,
    CONSTRAINT api_keys_pkey            PRIMARY KEY (id),
    CONSTRAINT api_keys_hash_key        UNIQUE (hash),
    CONSTRAINT api_keys_environment_id_key UNIQUE (environment_id, id), -- what foreign keys point at, and lists go along
    CONSTRAINT api_keys_environment_id  FOREIGN KEY (environment_id) REFERENCES environments (id),
    CONSTRAINT api_keys_replaces_id     FOREIGN KEY (environment_id, replaces_id) REFERENCES api_keys (environment_id, id),
    CONSTRAINT api_keys_id_length       CHECK (length(id) BETWEEN 1 AND 64),
    CONSTRAINT api_keys_name_length     CHECK (length(name) <= 256),
    CONSTRAINT api_keys_prefix_length   CHECK (length(prefix) <= 32),
    CONSTRAINT api_keys_hash_is_sha256  CHECK (length(hash) = 32),
    CONSTRAINT api_keys_scopes_length   CHECK (length(scopes) <= 2048),
    CONSTRAINT api_keys_limits_length   CHECK (length(integrations) <= 8192 AND length(addresses) <= 8192),
    CONSTRAINT api_keys_replaces_another CHECK (replaces_id <> id)
) STRICT;
CREATE INDEX api_keys_by_replaces ON api_keys (environment_id, replaces_id) WHERE replaces_id IS NOT NULL;

CREATE TABLE integrations (
    id             TEXT    NOT NULL,
    environment_id TEXT    NOT NULL,
    key            TEXT    NOT NULL,
    provider       TEXT    NOT NULL,
    title          TEXT    NOT NULL,
    client_id      TEXT    NOT NULL,
    client_secret  BLOB, -- sealed
    previous_client_secret       BLOB,    -- sealed; the one before, for as long as both are tried
    previous_client_secret_until INTEGER,
    scopes         TEXT    NOT NULL, -- JSON
    methods        TEXT    NOT NULL, -- JSON
    overrides      TEXT    NOT NULL, -- JSON
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    CONSTRAINT integrations_pkey                 PRIMARY KEY (id),
    CONSTRAINT integrations_environment_id_key   UNIQUE (environment_id, id), -- what foreign keys point at: no row refers across environments
    CONSTRAINT integrations_key_key              UNIQUE (environment_id, key),
    CONSTRAINT integrations_environment_id       FOREIGN KEY (environment_id) REFERENCES environments (id),
    CONSTRAINT integrations_id_length            CHECK (length(id) BETWEEN 1 AND 64),
    CONSTRAINT integrations_key_length           CHECK (length(key) BETWEEN 1 AND 128),
    CONSTRAINT integrations_provider_length      CHECK (length(provider) BETWEEN 1 AND 128),
    CONSTRAINT integrations_title_length         CHECK (length(title) <= 512),
    CONSTRAINT integrations_client_id_length     CHECK (length(client_id) <= 2048),
    CONSTRAINT integrations_client_secret_length CHECK (length(client_secret) BETWEEN 1 AND 65536),
    CONSTRAINT integrations_previous_length      CHECK (length(previous_client_secret) BETWEEN 1 AND 65536),
    CONSTRAINT integrations_previous_ends        CHECK ((previous_client_secret IS NULL) = (previous_client_secret_until IS NULL)),
    CONSTRAINT integrations_previous_of_one      CHECK (previous_client_secret IS NULL OR client_secret IS NOT NULL),
    CONSTRAINT integrations_json_length          CHECK (length(scopes) <= 65536 AND length(methods) <= 65536 AND length(overrides) <= 65536)
) STRICT;
CREATE INDEX integrations_previous ON integrations (previous_client_secret_until) WHERE previous_client_secret_until IS NOT NULL;

CREATE TABLE connections (
    id                 TEXT    NOT NULL,
    environment_id     TEXT    NOT NULL,
    integration_id     TEXT    NOT NULL,
    method             TEXT    NOT NULL,
    status             TEXT    NOT NULL,
    status_reason      TEXT    NOT NULL,
    generation         INTEGER NOT NULL,
    end_user_id        TEXT    NOT NULL,
    end_user_email     TEXT    NOT NULL,
    end_user_name      TEXT    NOT NULL,
    account_id         TEXT    NOT NULL,
    account_label      TEXT    NOT NULL,
    base_url           TEXT    NOT NULL,
    scopes             TEXT    NOT NULL, -- JSON
    tags               TEXT    NOT NULL, -- JSON; connection_tags has them once more, for filters
    metadata           TEXT    NOT NULL, -- JSON
    external_id        TEXT,
    replaces_id        TEXT, -- set on a candidate that mends another connection
    renewable          INTEGER NOT NULL,
    expires_at         INTEGER,
    refresh_expires_at INTEGER,
    last_refreshed_at  INTEGER,
    last_read_at       INTEGER,
    pending_until      INTEGER,
    due_at             INTEGER, -- when it is looked at next, to be renewed or verified
    failures           INTEGER NOT NULL DEFAULT 0, -- refreshes that failed in a row
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    credential         BLOB, -- sealed
    answer             BLOB, -- sealed
    lease_owner        TEXT,
    lease_epoch        INTEGER NOT NULL DEFAULT 0, -- counts up with every claim and never goes back
    lease_until        INTEGER,                    -- in the time of this database
    lease_spending     BLOB,                       -- outlives its lease while the outcome is not known
    -- What lists go along. When it runs out unless the end user links again:
    ends_at            INTEGER GENERATED ALWAYS AS (CASE WHEN status <> 'active' THEN NULL WHEN renewable THEN refresh_expires_at ELSE expires_at END) STORED,
    -- The day of last_read_at: an index of that itself would be written with every read.
    read_day           INTEGER GENERATED ALWAYS AS (last_read_at / 86400000000) STORED,
    CONSTRAINT connections_pkey               PRIMARY KEY (id),
    CONSTRAINT connections_environment_id_key UNIQUE (environment_id, id),
    CONSTRAINT connections_integration_id     FOREIGN KEY (environment_id, integration_id) REFERENCES integrations (environment_id, id),
    CONSTRAINT connections_replaces_id        FOREIGN KEY (environment_id, replaces_id) REFERENCES connections (environment_id, id),
    CONSTRAINT connections_status             CHECK (status IN ('pending', 'active', 'reconnect_required', 'revoked')),
    CONSTRAINT connections_sealed             CHECK (status NOT IN ('pending', 'active') OR (credential IS NOT NULL AND answer IS NOT NULL)),
    CONSTRAINT connections_erased             CHECK (status <> 'revoked' OR (credential IS NULL AND answer IS NULL AND lease_owner IS NULL AND lease_until IS NULL AND lease_spending IS NULL)),
    CONSTRAINT connections_pending_ends       CHECK ((status = 'pending') = (pending_until IS NOT NULL)),
    CONSTRAINT connections_booleans           CHECK (renewable IN (0, 1)),
    CONSTRAINT connections_generation         CHECK (generation >= 1),
    CONSTRAINT connections_failures           CHECK (failures >= 0),
    CONSTRAINT connections_lease              CHECK (lease_epoch >= 0 AND (lease_owner IS NULL) = (lease_until IS NULL)),
    CONSTRAINT connections_replaces_another   CHECK (replaces_id <> id),
    CONSTRAINT connections_id_length          CHECK (length(id) BETWEEN 1 AND 64),
    CONSTRAINT connections_method_length      CHECK (length(method) BETWEEN 1 AND 128),
    CONSTRAINT connections_reason_length      CHECK (length(status_reason) <= 128),
    CONSTRAINT connections_end_user_length    CHECK (length(end_user_id) BETWEEN 1 AND 256 AND length(end_user_email) <= 512 AND length(end_user_name) <= 512),
    CONSTRAINT connections_account_length     CHECK (length(account_id) <= 512 AND length(account_label) <= 512),
    CONSTRAINT connections_base_url_length    CHECK (length(base_url) <= 2048),
    CONSTRAINT connections_external_id_length CHECK (length(external_id) BETWEEN 1 AND 256),
    CONSTRAINT connections_json_length        CHECK (length(scopes) <= 65536 AND length(tags) <= 65536 AND length(metadata) <= 65536),
    CONSTRAINT connections_blob_length        CHECK (length(credential) BETWEEN 1 AND 1048576 AND length(answer) BETWEEN 1 AND 1048576),
    CONSTRAINT connections_lease_length       CHECK (length(lease_owner) BETWEEN 1 AND 256 AND length(lease_spending) BETWEEN 1 AND 1024)
) STRICT;
CREATE UNIQUE INDEX connections_external_id_key ON connections (environment_id, integration_id, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX connections_by_integration ON connections (environment_id, integration_id, id);
CREATE INDEX connections_by_end_user    ON connections (environment_id, end_user_id, id);
-- Those of lists have no candidates, so that counting them reads no row.
CREATE INDEX connections_by_status      ON connections (environment_id, status, id) WHERE replaces_id IS NULL;
CREATE INDEX connections_by_integration_status ON connections (environment_id, integration_id, status, id) WHERE replaces_id IS NULL;
CREATE INDEX connections_by_end         ON connections (environment_id, ends_at, id, status) WHERE replaces_id IS NULL;
CREATE INDEX connections_by_integration_end ON connections (environment_id, integration_id, ends_at, id, status) WHERE replaces_id IS NULL;
CREATE INDEX connections_by_read        ON connections (environment_id, read_day, id, integration_id, status) WHERE replaces_id IS NULL;
CREATE INDEX connections_failing        ON connections (environment_id, id, integration_id) WHERE failures > 0 AND status = 'active' AND replaces_id IS NULL;
CREATE INDEX connections_by_replaces    ON connections (replaces_id) WHERE replaces_id IS NOT NULL;
CREATE INDEX connections_pending        ON connections (pending_until) WHERE pending_until IS NOT NULL;
CREATE INDEX connections_due            ON connections (integration_id, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE connection_tags (
    connection_id  TEXT NOT NULL,
    environment_id TEXT NOT NULL,
    key            TEXT NOT NULL,
    value          TEXT NOT NULL,
    CONSTRAINT connection_tags_pkey          PRIMARY KEY (environment_id, connection_id, key),
    CONSTRAINT connection_tags_connection_id FOREIGN KEY (environment_id, connection_id) REFERENCES connections (environment_id, id) ON DELETE CASCADE,
    CONSTRAINT connection_tags_length        CHECK (length(key) BETWEEN 1 AND 128 AND length(value) <= 256)
) STRICT;
CREATE INDEX connection_tags_by_value ON connection_tags (environment_id, key, value, connection_id);

-- The words of a connection in lower case, for a search to find their beginnings.
CREATE TABLE connection_terms (
    environment_id TEXT NOT NULL,
    term           TEXT NOT NULL,
    connection_id  TEXT NOT NULL,
    CONSTRAINT connection_terms_pkey          PRIMARY KEY (environment_id, term, connection_id),
    CONSTRAINT connection_terms_connection_id FOREIGN KEY (environment_id, connection_id) REFERENCES connections (environment_id, id) ON DELETE CASCADE,
    CONSTRAINT connection_terms_length        CHECK (length(term) BETWEEN 1 AND 128)
) STRICT, WITHOUT ROWID;
CREATE INDEX connection_terms_by_connection ON connection_terms (connection_id);

CREATE TABLE connect_sessions (
    id                   TEXT    NOT NULL,
    environment_id       TEXT    NOT NULL,
    kind                 TEXT    NOT NULL DEFAULT 'connect',
    parent_id            TEXT, -- of a reconnect begun in a session of kind manage: it ends with it
    end_user_id          TEXT    NOT NULL,
    end_user_email       TEXT    NOT NULL,
    end_user_name        TEXT    NOT NULL,
    integrations         TEXT    NOT NULL, -- JSON, the keys on offer
    connection_id        TEXT,
    pending_id           TEXT,
    reconnect            INTEGER NOT NULL,
    allow_account_change INTEGER NOT NULL,
    return_url           TEXT    NOT NULL,
    completion           TEXT    NOT NULL,
    tags                 TEXT    NOT NULL, -- JSON
    status               TEXT    NOT NULL,
    error                TEXT    NOT NULL,
    wrong                INTEGER NOT NULL,
    token_hash           BLOB    NOT NULL,
    binding_hash         BLOB,
    result_hash          BLOB,
    result_expires_at    INTEGER,
    created_at           INTEGER NOT NULL,
    expires_at           INTEGER NOT NULL,
    CONSTRAINT connect_sessions_pkey               PRIMARY KEY (id),
    CONSTRAINT connect_sessions_environment_id_key UNIQUE (environment_id, id),
    CONSTRAINT connect_sessions_token_hash_key     UNIQUE (token_hash),
    CONSTRAINT connect_sessions_environment_id     FOREIGN KEY (environment_id) REFERENCES environments (id),
    CONSTRAINT connect_sessions_connection_id      FOREIGN KEY (connection_id) REFERENCES connections (id) ON DELETE SET NULL,
    CONSTRAINT connect_sessions_pending_id         FOREIGN KEY (pending_id) REFERENCES connections (id) ON DELETE SET NULL,
    CONSTRAINT connect_sessions_parent_id          FOREIGN KEY (parent_id) REFERENCES connect_sessions (id) ON DELETE CASCADE,
    CONSTRAINT connect_sessions_kind               CHECK (kind IN ('connect', 'manage', 'test')),
    CONSTRAINT connect_sessions_status             CHECK (status IN ('open', 'bound', 'pending', 'completed', 'failed')),
    CONSTRAINT connect_sessions_completion         CHECK (completion IN ('auto', 'redeem')),
    CONSTRAINT connect_sessions_bound              CHECK (status <> 'bound' OR binding_hash IS NOT NULL),
    CONSTRAINT connect_sessions_result             CHECK (result_hash IS NULL OR (status = 'pending' AND result_expires_at IS NOT NULL)),
    CONSTRAINT connect_sessions_booleans           CHECK (reconnect IN (0, 1) AND allow_account_change IN (0, 1)),
    CONSTRAINT connect_sessions_wrong              CHECK (wrong >= 0),
    CONSTRAINT connect_sessions_hash_is_sha256     CHECK (length(token_hash) = 32 AND length(binding_hash) = 32 AND length(result_hash) = 32),
    CONSTRAINT connect_sessions_id_length          CHECK (length(id) BETWEEN 1 AND 64),
    CONSTRAINT connect_sessions_end_user_length    CHECK (length(end_user_id) BETWEEN 1 AND 256 AND length(end_user_email) <= 512 AND length(end_user_name) <= 512),
    CONSTRAINT connect_sessions_return_url_length  CHECK (length(return_url) <= 2048),
    CONSTRAINT connect_sessions_error_length       CHECK (length(error) <= 128),
    CONSTRAINT connect_sessions_json_length        CHECK (length(integrations) <= 65536 AND length(tags) <= 65536)
) STRICT;
CREATE INDEX connect_sessions_by_connection ON connect_sessions (connection_id) WHERE connection_id IS NOT NULL;
CREATE INDEX connect_sessions_by_pending    ON connect_sessions (pending_id) WHERE pending_id IS NOT NULL;
CREATE INDEX connect_sessions_by_expiry     ON connect_sessions (expires_at);
CREATE INDEX connect_sessions_tests         ON connect_sessions (created_at) WHERE kind = 'test' AND connection_id IS NOT NULL;
CREATE INDEX connect_sessions_by_parent     ON connect_sessions (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE attempts (
    id             TEXT    NOT NULL,
    environment_id TEXT    NOT NULL,
    session_id     TEXT    NOT NULL,
    integration_id TEXT    NOT NULL,
    method         TEXT    NOT NULL,
    state_hash     BLOB    NOT NULL,
    binding_hash   BLOB    NOT NULL,
    sealed         BLOB    NOT NULL,
    reply          BLOB, -- sealed
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    CONSTRAINT attempts_pkey           PRIMARY KEY (id),
    CONSTRAINT attempts_state_hash_key UNIQUE (state_hash),
    CONSTRAINT attempts_session_id     FOREIGN KEY (environment_id, session_id) REFERENCES connect_sessions (environment_id, id) ON DELETE CASCADE,
    CONSTRAINT attempts_integration_id FOREIGN KEY (environment_id, integration_id) REFERENCES integrations (environment_id, id) ON DELETE CASCADE,
    CONSTRAINT attempts_hash_is_sha256 CHECK (length(state_hash) = 32 AND length(binding_hash) = 32),
    CONSTRAINT attempts_id_length      CHECK (length(id) BETWEEN 1 AND 64),
    CONSTRAINT attempts_method_length  CHECK (length(method) BETWEEN 1 AND 128),
    CONSTRAINT attempts_blob_length    CHECK (length(sealed) BETWEEN 1 AND 1048576 AND length(reply) BETWEEN 1 AND 1048576)
) STRICT;
CREATE INDEX attempts_by_session     ON attempts (environment_id, session_id);
CREATE INDEX attempts_by_integration ON attempts (environment_id, integration_id);
CREATE INDEX attempts_by_expiry      ON attempts (expires_at);

-- How often an end user's credentials were tried in the running window.
CREATE TABLE guesses (
    environment_id TEXT    NOT NULL,
    end_user_id    TEXT    NOT NULL,
    count          INTEGER NOT NULL,
    ends_at        INTEGER NOT NULL,
    CONSTRAINT guesses_pkey            PRIMARY KEY (environment_id, end_user_id),
    CONSTRAINT guesses_environment_id  FOREIGN KEY (environment_id) REFERENCES environments (id),
    CONSTRAINT guesses_count           CHECK (count >= 0),
    CONSTRAINT guesses_end_user_length CHECK (length(end_user_id) BETWEEN 1 AND 256)
) STRICT;
CREATE INDEX guesses_by_end ON guesses (ends_at);

-- The outbox: providers still to be told of a revocation. Outlives its
-- connection and its integration. What was asked for in bulk is below.
CREATE TABLE revocations (
    id                 TEXT    NOT NULL,
    environment_id     TEXT    NOT NULL,
    integration_id     TEXT    NOT NULL,
    bulk_revocation_id TEXT, -- what is told of the outcome
    connection         TEXT    NOT NULL, -- JSON
    sealed             BLOB    NOT NULL,
    tries              INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    due_at             INTEGER NOT NULL, -- when it is told, or told again
    CONSTRAINT revocations_pkey           PRIMARY KEY (id),
    CONSTRAINT revocations_environment_id FOREIGN KEY (environment_id) REFERENCES environments (id),
    CONSTRAINT revocations_tries          CHECK (tries >= 0),
    CONSTRAINT revocations_id_length      CHECK (length(id) BETWEEN 1 AND 64 AND length(integration_id) BETWEEN 1 AND 64 AND length(bulk_revocation_id) BETWEEN 1 AND 64),
    CONSTRAINT revocations_json_length    CHECK (length(connection) <= 65536),
    CONSTRAINT revocations_blob_length    CHECK (length(sealed) BETWEEN 1 AND 1048576)
) STRICT;
CREATE INDEX revocations_due ON revocations (integration_id, due_at, id);
CREATE INDEX revocations_untold ON revocations (environment_id, created_at) WHERE tries > 0;

-- Connections that are revoked together: what was asked for, how far it is, and
-- what became of each. What the providers are told goes through the outbox above.
CREATE TABLE bulk_revocations (
    id               TEXT    NOT NULL,
    environment_id   TEXT    NOT NULL,
    actor_kind       TEXT    NOT NULL,
    actor_id         TEXT    NOT NULL,
    status           TEXT    NOT NULL,
    filter           TEXT, -- JSON; what was not asked for by id
    gathered         INTEGER NOT NULL,
    up_to            TEXT    NOT NULL, -- an id of the time of asking: what is made later has a later one
    gathered_to      TEXT, -- the lowest id that was looked at
    total            INTEGER NOT NULL,
    revoked          INTEGER NOT NULL,
    already_revoked  INTEGER NOT NULL,
    missing          INTEGER NOT NULL,
    failed           INTEGER NOT NULL,
    told_revoked     INTEGER NOT NULL,
    told_unsupported INTEGER NOT NULL,
    told_failed      INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    worked_at        INTEGER NOT NULL, -- whoever has waited longest is worked on next
    -- What is deleted as soon as none of its connections is left; both or neither.
    -- No foreign key: this outlives it.
    deletes_integration_id  TEXT,
    deletes_integration_key TEXT,
    integration_deleted_at  INTEGER,
    CONSTRAINT bulk_revocations_pkey           PRIMARY KEY (id),
    CONSTRAINT bulk_revocations_environment_id FOREIGN KEY (environment_id) REFERENCES environments (id),
    CONSTRAINT bulk_revocations_actor_kind     CHECK (actor_kind IN ('api_key', 'end_user', 'admin', 'system')),
    CONSTRAINT bulk_revocations_status         CHECK (status IN ('gathering', 'running', 'stopped', 'completed')),
    CONSTRAINT bulk_revocations_booleans       CHECK (gathered IN (0, 1)),
    CONSTRAINT bulk_revocations_gathered       CHECK (gathered = (status <> 'gathering') OR status = 'stopped'),
    CONSTRAINT bulk_revocations_finished       CHECK ((status IN ('stopped', 'completed')) = (finished_at IS NOT NULL)),
    CONSTRAINT bulk_revocations_counts         CHECK (revoked >= 0 AND already_revoked >= 0 AND missing >= 0 AND failed >= 0 AND revoked + already_revoked + missing + failed <= total),
    CONSTRAINT bulk_revocations_told           CHECK (told_revoked >= 0 AND told_unsupported >= 0 AND told_failed >= 0 AND told_revoked + told_unsupported + told_failed <= revoked),
    CONSTRAINT bulk_revocations_deletes        CHECK ((deletes_integration_id IS NULL) = (deletes_integration_key IS NULL) AND (integration_deleted_at IS NULL OR deletes_integration_id IS NOT NULL)),
    CONSTRAINT bulk_revocations_deleted        CHECK (status <> 'completed' OR (integration_deleted_at IS NULL) = (deletes_integration_id IS NULL)),
    CONSTRAINT bulk_revocations_length         CHECK (length(id) BETWEEN 1 AND 64 AND length(actor_id) <= 256 AND length(up_to) BETWEEN 1 AND 64 AND length(gathered_to) BETWEEN 1 AND 64 AND length(filter) <= 65536 AND length(deletes_integration_id) BETWEEN 1 AND 64 AND length(deletes_integration_key) BETWEEN 1 AND 64)
) STRICT;
CREATE INDEX bulk_revocations_list     ON bulk_revocations (environment_id, id);
CREATE INDEX bulk_revocations_at_work  ON bulk_revocations (worked_at) WHERE status IN ('gathering', 'running');
CREATE UNIQUE INDEX bulk_revocations_deletes_key ON bulk_revocations (deletes_integration_id) WHERE deletes_integration_id IS NOT NULL AND status IN ('gathering', 'running');
CREATE INDEX bulk_revocations_finished_at ON bulk_revocations (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE bulk_revocation_items (
    bulk_revocation_id TEXT    NOT NULL,
    connection_id      TEXT    NOT NULL, -- no foreign key: it may be deleted
    outcome            TEXT, -- NULL: still to be revoked
    told               TEXT, -- what the provider made of it; NULL: not told yet, or not to be
    done_at            INTEGER,
    CONSTRAINT bulk_revocation_items_pkey               PRIMARY KEY (bulk_revocation_id, connection_id),
    CONSTRAINT bulk_revocation_items_bulk_revocation_id FOREIGN KEY (bulk_revocation_id) REFERENCES bulk_revocations (id) ON DELETE CASCADE,
    CONSTRAINT bulk_revocation_items_outcome            CHECK (outcome IN ('revoked', 'already_revoked', 'missing', 'failed')),
    CONSTRAINT bulk_revocation_items_told               CHECK (told IS NULL OR (told IN ('revoked', 'unsupported', 'failed') AND outcome IS NOT NULL AND outcome = 'revoked')),
    CONSTRAINT bulk_revocation_items_done               CHECK ((outcome IS NULL) = (done_at IS NULL)),
    CONSTRAINT bulk_revocation_items_length             CHECK (length(connection_id) BETWEEN 1 AND 64)
) STRICT;
CREATE INDEX bulk_revocation_items_waiting ON bulk_revocation_items (bulk_revocation_id, connection_id) WHERE outcome IS NULL;
CREATE INDEX bulk_revocation_items_report  ON bulk_revocation_items (bulk_revocation_id, outcome, connection_id);
CREATE INDEX bulk_revocation_items_told_by ON bulk_revocation_items (bulk_revocation_id, told, connection_id) WHERE told IS NOT NULL;
CREATE INDEX bulk_revocation_items_of      ON bulk_revocation_items (connection_id) WHERE outcome = 'revoked';

-- The trail names all that it is about without foreign keys: it outlives them,
-- and whoever writes an entry, last in a transaction, waits for no lock. Rows are
-- inserted, never updated; retention deletes the oldest.
CREATE TABLE audit_entries (
    id             TEXT    NOT NULL,
    environment_id TEXT    NOT NULL,
    at             INTEGER NOT NULL,
    actor_kind     TEXT    NOT NULL,
    actor_id       TEXT    NOT NULL,
    action         TEXT    NOT NULL,
    allowed        INTEGER NOT NULL,
    connection_id  TEXT,
    integration_id TEXT,
    session_id     TEXT,
    reason         TEXT    NOT NULL,
    generation     INTEGER NOT NULL,
    count          INTEGER NOT NULL,
    writer         TEXT    NOT NULL, -- the chain it is in: one for each process that writes
    seq            INTEGER NOT NULL,
    hash           BLOB    NOT NULL, -- over all of the above and the hash of the one before
    proof          BLOB    NOT NULL, -- the hash under a key that this database does not have
    CONSTRAINT audit_entries_pkey           PRIMARY KEY (id),
    CONSTRAINT audit_entries_seq            CHECK (seq >= 1),
    CONSTRAINT audit_entries_hash_is_sha256 CHECK (length(hash) = 32 AND length(proof) = 16),
    CONSTRAINT audit_entries_actor_kind     CHECK (actor_kind IN ('api_key', 'end_user', 'admin', 'system')),
    CONSTRAINT audit_entries_booleans       CHECK (allowed IN (0, 1)),
    CONSTRAINT audit_entries_generation     CHECK (generation >= 0),
    CONSTRAINT audit_entries_count          CHECK (count >= 1),
    CONSTRAINT audit_entries_id_length      CHECK (length(id) BETWEEN 1 AND 64 AND length(environment_id) BETWEEN 1 AND 64 AND length(writer) BETWEEN 1 AND 64),
    CONSTRAINT audit_entries_actor_length   CHECK (length(actor_id) <= 256),
    CONSTRAINT audit_entries_action_length  CHECK (length(action) BETWEEN 1 AND 64),
    CONSTRAINT audit_entries_subject_length CHECK (length(connection_id) <= 256 AND length(integration_id) <= 256 AND length(session_id) <= 256),
    CONSTRAINT audit_entries_reason_length  CHECK (length(reason) <= 128)
) STRICT;
CREATE INDEX audit_entries_list          ON audit_entries (environment_id, id);
CREATE INDEX audit_entries_by_connection ON audit_entries (environment_id, connection_id, id) WHERE connection_id IS NOT NULL;
CREATE INDEX audit_entries_history       ON audit_entries (environment_id, connection_id, id) WHERE connection_id IS NOT NULL AND action <> 'headers.read';
CREATE INDEX audit_entries_by_actor      ON audit_entries (environment_id, actor_id, id);
CREATE INDEX audit_entries_by_action     ON audit_entries (environment_id, action, id);
CREATE INDEX audit_entries_by_integration ON audit_entries (environment_id, integration_id, id) WHERE integration_id IS NOT NULL;
CREATE INDEX audit_entries_refused       ON audit_entries (environment_id, id) WHERE allowed = FALSE;
CREATE INDEX audit_entries_chain         ON audit_entries (writer, seq);

-- Signed from time to time: up to here the chain of this writer has come, there it
-- ended, or this much of its beginning was dropped. They are a chain themselves.
CREATE TABLE audit_checkpoints (
    number    INTEGER NOT NULL,
    prev      BLOB    NOT NULL, -- the hash of the one before
    at        INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    writer    TEXT    NOT NULL,
    seq       INTEGER NOT NULL, -- of the entry that it is about
    entry_id  TEXT    NOT NULL,
    hash      BLOB    NOT NULL, -- of that entry
    count     INTEGER NOT NULL, -- how many were dropped
    key       TEXT    NOT NULL, -- the fingerprint of the public key
    signature BLOB    NOT NULL,
    statement TEXT    NOT NULL, -- what is acknowledged; the hash is of that then
    CONSTRAINT audit_checkpoints_pkey   PRIMARY KEY (number),
    CONSTRAINT audit_checkpoints_kind   CHECK (kind IN ('running', 'closed', 'dropped', 'pruned', 'acknowledged')),
    CONSTRAINT audit_checkpoints_counts CHECK (number >= 1 AND seq >= 1 AND count >= 0 AND (kind <> 'acknowledged' OR count > 0) AND (kind NOT IN ('running', 'closed') OR count = 0)),
    CONSTRAINT audit_checkpoints_length CHECK (length(prev) = 32 AND length(hash) = 32 AND length(signature) = 64 AND length(key) = 16 AND length(writer) <= 64 AND (kind IN ('pruned', 'acknowledged')) = (writer = '') AND (kind = 'acknowledged') = (statement <> '') AND length(statement) <= 65536 AND length(entry_id) BETWEEN 1 AND 64)
) STRICT;
CREATE INDEX audit_checkpoints_by_entry  ON audit_checkpoints (entry_id, number);
CREATE INDEX audit_checkpoints_by_writer ON audit_checkpoints (writer, kind, number);
CREATE INDEX audit_checkpoints_by_place  ON audit_checkpoints (writer, seq, number);

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

-- One blob sealed by the master keyset at the first start. A keyset that does
-- not open it is the wrong one.
CREATE TABLE canary (
    id     INTEGER NOT NULL,
    sealed BLOB    NOT NULL,
    CONSTRAINT canary_pkey        PRIMARY KEY (id),
    CONSTRAINT canary_is_one      CHECK (id = 1),
    CONSTRAINT canary_blob_length CHECK (length(sealed) BETWEEN 1 AND 65536)
) STRICT;
