// Measures graphile-worker as bench/run measures Piton: durable commits, jobs that do nothing or call a target.
//
//   node measure.mjs queue URL default|tuned JOBS FINISHED [TARGET]
//   node measure.mjs latency URL default|tuned JOBS
//
// "default" polls every 2 s with 10 jobs at once, as its documentation begins; "tuned" polls every 100 ms, keeps 500
// jobs in a local queue and completes them in batches. Prints one line of JSON.
import { run, runMigrations, Logger } from "graphile-worker";
import pg from "pg";
import { deliver } from "./target.mjs";

const [what, connectionString, settings, jobsText, finishedText, target] = process.argv.slice(2);
const jobs = Number(jobsText);
const finished = Number(finishedText ?? 0);
const tuned = settings === "tuned";
const pool = new pg.Pool({ connectionString, max: 20 });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const wallClock = () => performance.timeOrigin + performance.now();
const logger = new Logger(() => () => {});

let done = 0;
let waits = [];
const taskList = {
  noop: async (payload, helpers) => {
    if (payload.since) waits.push(wallClock() - payload.since);
    if (payload.employee) await deliver(target, helpers.job.id, payload);
    done += 1;
  },
};

function start() {
  const worker = tuned
    ? {
        concurrentJobs: 100,
        pollInterval: 100,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      }
    : { concurrentJobs: 10, pollInterval: 2000 };
  return run({ pgPool: pool, taskList, logger, noHandleSignals: true, preset: { worker } });
}

const employee = { fullName: "John Doe", workEmail: "jdoe@example.com", department: "Engineering", jobTitle: "Engineer" };
const request = { employee, applications: { google: true, microsoft: true } };

async function insert(count, payload) {
  const sql = `SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
    SELECT json_populate_record(null::graphile_worker.job_spec, json_build_object('identifier', 'noop', 'payload', $2::json))
    FROM generate_series(1, $1::int)))`;
  for (let left = count; left > 0; left -= 1000) await pool.query(sql, [Math.min(left, 1000), JSON.stringify(payload)]);
}

async function completed(count) {
  while (done < count) await pause(1);
  // A completed job is deleted.
  for (;;) {
    const { rows } = await pool.query("SELECT EXISTS (SELECT 1 FROM graphile_worker._private_jobs) AS open");
    if (!rows[0].open) return;
    await pause(1);
  }
}

async function round(count, payload) {
  let begun = performance.now();
  await insert(count, payload);
  const inserts = (1000 * count) / (performance.now() - begun);
  done = 0;
  begun = performance.now();
  const runner = await start();
  await completed(count);
  const rate = (1000 * count) / (performance.now() - begun);
  await runner.stop();
  return { inserts, rate };
}

async function queue() {
  const payload = target ? request : {};
  const clean = await round(jobs, payload);
  const result = { inserts_per_s: clean.inserts, jobs_per_s: clean.rate };
  if (finished > 0) {
    for (let left = finished; left > 0; left -= 50000) await round(Math.min(left, 50000), {});
    result.after_finished_per_s = (await round(jobs, payload)).rate;
  }
  return result;
}

async function latency() {
  const runner = await start();
  const first = wallClock() + 3000;
  for (let i = 0; i < jobs; i += 1) {
    const due = first + 20 * i;
    await runner.addJob("noop", { since: due }, { runAt: new Date(due) });
  }
  await completed(jobs);
  const due = waits;
  waits = [];
  for (let i = 0; i < jobs; i += 1) {
    const begun = wallClock();
    await runner.addJob("noop", { since: begun });
    await pause(Math.max(0, begun + 15 - wallClock()));
  }
  await completed(2 * jobs);
  await runner.stop();
  return { due_ms: due, immediate_ms: waits };
}

await runMigrations({ pgPool: pool, logger });
const result = what === "queue" ? await queue() : await latency();
console.log(JSON.stringify(result));
await pool.end();
process.exit(0);
