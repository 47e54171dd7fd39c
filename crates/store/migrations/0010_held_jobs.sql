-- Whether the file of a job holds it back, and since when that is so: for jobs whose files do, or did.
--   declaration   what it runs once for
--   held          0 once the file lets it begin
CREATE TABLE held_jobs (
    subject     {{text}} PRIMARY KEY,
    declaration {{text}} NOT NULL,
    held        BIGINT NOT NULL,
    at          BIGINT NOT NULL
);
