-- Scheduled provisions that somebody refused by writing that into the table: Piton cancels them.
CREATE INDEX provisions_refused ON scheduled_provisions (id)
    WHERE status = 'pending' AND approval_status = 'rejected';

-- What was there before Piton may say anything, and what cannot be read ends as `failed`: of rows that are over, these
-- say nothing.
--postgres ALTER TABLE public.scheduled_provisions
--postgres     DROP CONSTRAINT IF EXISTS piton_job_type,
--postgres     DROP CONSTRAINT IF EXISTS piton_approval_status,
--postgres     ADD CONSTRAINT piton_job_type CHECK (status IN ('completed', 'failed', 'cancelled')
--postgres         OR job_type IN ('provision', 'terminate', 'suspend', 'reactivate', 'modify_groups', 'modify_license',
--postgres         'modify_role', 'password_reset', 'transfer_ownership')) NOT VALID,
--postgres     ADD CONSTRAINT piton_approval_status CHECK (status IN ('completed', 'failed', 'cancelled')
--postgres         OR approval_status IN ('auto_approved', 'pending_approval', 'approved', 'rejected')) NOT VALID;
