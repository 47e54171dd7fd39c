-- What people want of the processes that a node keeps running, beyond what is declared.
--   node      whose processes these are; a database may be shared
--   body      JSON
CREATE TABLE wishes (
    node        {{text}} NOT NULL,
    process     {{text}} NOT NULL,
    body        {{text}} NOT NULL,
    PRIMARY KEY (node, process)
);
-- What happened to processes, for people: the latest rows of each node.
--   number    counts the rows of all nodes
--   status    the state that the instance went to
--   error     how it ended or why it could not be started
CREATE TABLE process_history (
    number      {{bigint_key}},
    node        {{text}} NOT NULL,
    at          BIGINT NOT NULL,
    name        {{text}} NOT NULL,
    process     {{text}} NOT NULL,
    pid         BIGINT,
    status      {{text}} NOT NULL,
    error       {{text}}
);
CREATE INDEX process_history_name ON process_history (name, number);
CREATE INDEX process_history_process ON process_history (process, number);
