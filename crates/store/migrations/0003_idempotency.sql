-- Requests that their clients may send again, and what was answered to them.
--   digest    of the request, sealed: what is sent again must be the same
--   token     names this use of the key; what the request makes is keyed by it, so that nothing is made twice
--   node      who works on it, until there is an answer
--   answer    JSON; null until there is one
CREATE TABLE requests (
    caller      {{text}} NOT NULL,
    request_key {{text}} NOT NULL,
    digest      {{text}} NOT NULL,
    token       {{text}} NOT NULL,
    node        {{text}} NOT NULL,
    begun_at    BIGINT NOT NULL,
    answer      {{text}},
    PRIMARY KEY (caller, request_key)
);
CREATE INDEX requests_begun ON requests (begun_at);
