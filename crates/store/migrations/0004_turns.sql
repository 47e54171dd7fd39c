-- Deployments that people ask for stand in a line of their own, in which callers take turns.
--   caller    who asked
--   turn      the place in the line; none for every other run
ALTER TABLE runs ADD COLUMN caller {{text}};
ALTER TABLE runs ADD COLUMN turn BIGINT;

DROP INDEX runs_claimable;
CREATE INDEX runs_claimable ON runs (priority, due_at, seq) WHERE phase = 'pending' AND turn IS NULL;
CREATE INDEX runs_turns ON runs (turn, due_at, seq) WHERE phase = 'pending' AND turn IS NOT NULL;
CREATE INDEX runs_begun ON runs (turn) WHERE phase IN ('running', 'gated') AND turn IS NOT NULL;
CREATE INDEX runs_caller ON runs (caller, turn) WHERE turn IS NOT NULL;
