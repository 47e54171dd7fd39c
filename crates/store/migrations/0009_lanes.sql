-- Repositories that are made of blueprints are claimed apart from all other runs, so that neither looks through what
-- waits of the other.
DROP INDEX runs_claimable;
CREATE INDEX runs_claimable ON runs (priority, due_at, seq)
    WHERE phase = 'pending' AND turn IS NULL AND NOT (substr(subject, 1, 9) = 'scaffold/');
CREATE INDEX runs_scaffolds ON runs (due_at, seq)
    WHERE phase = 'pending' AND substr(subject, 1, 9) = 'scaffold/';
