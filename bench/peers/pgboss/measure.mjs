// Measures pg-boss as bench/run measures Piton: durable commits, jobs that do nothing or call a target.
//
//   node measure.mjs queue URL default|tuned JOBS FINISHED [TARGET]
//   node measure.mjs latency URL default|tuned JOBS
//
// "default" polls every 2 s with 10 workers, as its documentation begins; "tuned" polls every 0.5 s, takes batches of 200
// and fetches on while they are full. Prints one line of JSON.
import { PgBoss } from "pg-boss";
import { deliver } from "./target.mjs";

const [what, connectionString, settings, jobsText, finishedText, target] = process.argv.slice(2);
const jobs = Number(jobsText);
const finished = Number(finishedText ?? 0);
const tuned = settings === "tuned";
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const wallClock = () => performance.timeOrigin + performance.now();
const NAME = "noop";

let done = 0;
let waits = [];
async function work(batch) {
  const now = wallClock();
  await Promise.all(
    batch.map(async ({ id, data }) => {
      if (data.since) waits.push(now - data.since);
      if (data.employee) await deliver(target, id, data);
    }),
  );
  done += batch.length;
}

const boss = new PgBoss({ connectionString, max: 20, supervise: false, schedule: false });
boss.on("error", (error) => console.error(error));

async function start() {
  const options = tuned
    ? { pollingIntervalSeconds: 0.5, batchSize: 200, burstWhenBatchFull: true, localConcurrency: 2 }
    : { pollingIntervalSeconds: 2, localConcurrency: 10 };
  await boss.work(NAME, options, work);
}

const employee = { fullName: "John Doe", workEmail: "jdoe@example.com", department: "Engineering", jobTitle: "Engineer" };
const request = { employee, applications: { google: true, microsoft: true } };

async function insert(count, data) {
  for (let left = count; left > 0; left -= 1000) {
    await boss.insert(NAME, Array.from({ length: Math.min(left, 1000) }, () => ({ data })));
  }
}

async function completed(count) {
  while (done < count) await pause(1);
  for (;;) {
    const { rows } = await boss.getDb().executeSql(`SELECT EXISTS (SELECT 1 FROM pgboss.job WHERE state < 'completed') AS open`);
    if (!rows[0].open) return;
    await pause(1);
  }
}

async function round(count, data) {
  let begun = performance.now();
  await insert(count, data);
  const inserts = (1000 * count) / (performance.now() - begun);
  done = 0;
  begun = performance.now();
  await start();
  await completed(count);
  const rate = (1000 * count) / (performance.now() - begun);
  await boss.offWork(NAME);
  return { inserts, rate };
}

async function queue() {
  const data = target ? request : {};
  const clean = await round(jobs, data);
  const result = { inserts_per_s: clean.inserts, jobs_per_s: clean.rate };
  if (finished > 0) {
    for (let left = finished; left > 0; left -= 50000) await round(Math.min(left, 50000), {});
    result.after_finished_per_s = (await round(jobs, data)).rate;
  }
  return result;
}

async function latency() {
  await start();
  const first = wallClock() + 3000;
  for (let i = 0; i < jobs; i += 1) {
    const due = first + 20 * i;
    await boss.send(NAME, { since: due }, { startAfter: new Date(due) });
  }
  await completed(jobs);
  const due = waits;
  waits = [];
  for (let i = 0; i < jobs; i += 1) {
    const begun = wallClock();
    await boss.send(NAME, { since: begun });
    await pause(Math.max(0, begun + 15 - wallClock()));
  }
  await completed(2 * jobs);
  return { due_ms: due, immediate_ms: waits };
}

await boss.start();
await boss.createQueue(NAME);
const result = what === "queue" ? await queue() : await latency();
console.log(JSON.stringify(result));
await boss.stop({ graceful: false });
process.exit(0);
