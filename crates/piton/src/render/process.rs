//! Processes and groups.

use jiff::Timestamp;
use piton_api::{ProcessGroup, ProcessStatus};

use super::second_or_never;
use crate::clock::{Clock, length};
use crate::table::{Cell, Fields, Table};

/// All instances at `now`.
pub fn table(instances: &[ProcessStatus], now: Timestamp, width: Option<usize>) -> String {
    if instances.is_empty() {
        return "No processes\n".to_owned();
    }
    let mut table = Table::new(&["NAME", "STATE", "PID", "UPTIME", "RESTARTS", "CPU", "MEMORY", "NOTE"]);
    for instance in instances {
        let usage = instance.usage.as_ref().filter(|_| instance.running);
        table.row([
            Cell::from(&instance.name),
            state(instance),
            Cell::from(pid(instance)),
            Cell::from(uptime(instance, now)),
            Cell::from(instance.restarts.to_string()),
            Cell::from(usage.map_or_else(String::new, |usage| format!("{:.1} %", usage.cpu_percent))),
            Cell::from(usage.map_or_else(String::new, |usage| size(usage.memory_rss))),
            Cell::from(note(instance, now)),
        ]);
    }
    table.render_within(width)
}

/// Everything about one instance.
pub fn status(instance: &ProcessStatus, clock: &Clock) -> String {
    let mut fields = Fields::default();
    fields
        .field("Name", &instance.name)
        .maybe("Process", Some(&instance.process).filter(|process| **process != instance.name))
        .field("State", state(instance))
        .field("Ready", super::yes_or_no(instance.ready))
        .maybe("Process id", Some(pid(instance)).filter(|pid| !pid.is_empty()))
        .field("Started", second_or_never(clock, instance.started_at))
        .maybe("Uptime", Some(uptime(instance, clock.now)).filter(|uptime| !uptime.is_empty()))
        .field("Restarts", instance.restarts.to_string())
        .maybe("Stopped", instance.stopped_at.map(|at| clock.second(at)))
        .maybe("Last end", instance.exit_error.as_ref())
        .maybe("Next start", instance.next_start.map(|at| clock.second(at)))
        .maybe("Reason", instance.reason.as_ref())
        .field("Seen by", &instance.detected_by)
        .field("Declared in", if instance.provisioned { "the configuration" } else { "a file of its own" });
    if let Some(usage) = &instance.usage {
        fields
            .field("Processor", format!("{:.1} %", usage.cpu_percent))
            .field("Memory", size(usage.memory_rss))
            .field("Threads", usage.num_threads.to_string())
            .maybe("Open files", usage.num_fds.map(|count| count.to_string()))
            .maybe("Read", usage.read_bytes.map(size))
            .maybe("Written", usage.written_bytes.map(size));
    }
    fields.render()
}

/// All groups.
pub fn groups(groups: &[ProcessGroup]) -> String {
    if groups.is_empty() {
        return "No groups\n".to_owned();
    }
    let mut table = Table::new(&["NAME", "STATE", "RUNNING", "MEMBERS"]);
    for group in groups {
        let members: Vec<&str> = group.members.iter().map(|member| member.name.as_str()).collect();
        table.row([
            Cell::from(&group.name),
            Cell::process(&group.state),
            Cell::from(format!("{}/{}", group.running, group.total)),
            Cell::from(members.join(" ")),
        ]);
    }
    table.render()
}

fn state(instance: &ProcessStatus) -> Cell {
    // A server that knows only provisr's four words sends no other.
    let word = if instance.phase.is_empty() { &instance.state } else { &instance.phase };
    Cell::process(word)
}

fn pid(instance: &ProcessStatus) -> String {
    if instance.pid == 0 { String::new() } else { instance.pid.to_string() }
}

fn uptime(instance: &ProcessStatus, now: Timestamp) -> String {
    match instance.started_at {
        Some(started) if instance.running => length(started, now),
        Some(_) | None => String::new(),
    }
}

/// What somebody should know who looks only here.
fn note(instance: &ProcessStatus, now: Timestamp) -> String {
    let mut parts = vec![];
    if instance.running && !instance.ready {
        parts.push("not ready".to_owned());
    }
    if !instance.running {
        parts.extend(instance.exit_error.clone());
    }
    if let Some(next) = instance.next_start {
        parts.push(format!("again in {}", length(now, next)));
    }
    parts.extend(instance.reason.clone());
    parts.join(", ")
}

/// `512 B`, `3.4 MiB`
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::sample::{clock, document};
    use super::*;

    fn instance(changes: Value) -> ProcessStatus {
        let base = json!({
            "name": "web-1", "running": true, "pid": 4321, "started_at": "2025-09-19T10:00:00Z",
            "stopped_at": "0001-01-01T00:00:00Z", "detected_by": "exec:pid", "restarts": 0, "state": "running",
            "provisioned": false, "phase": "running", "process": "web", "ready": true,
        });
        document(base, changes)
    }

    fn plain(text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("\x1b[") {
            plain.push_str(before);
            rest = after.split_once('m').map_or("", |(_, rest)| rest);
        }
        plain + rest
    }

    #[test]
    fn instances_in_a_table() {
        let usage = json!({
            "pid": 4321, "name": "web-1", "cpu_percent": 12.34, "memory_mb": 3.0, "memory_rss": 3_145_728,
            "memory_vms": 0, "timestamp": "2025-09-19T11:59:55Z", "num_threads": 4,
        });
        let down = json!({
            "name": "web-2", "running": false, "pid": 0, "state": "stopped", "phase": "backoff", "restarts": 3,
            "ready": false, "exit_error": "exit status 3", "next_start": "2025-09-19T12:00:04Z",
        });
        let all = [instance(json!({ "usage": usage })), instance(down)];
        let wanted = "\
NAME   STATE    PID   UPTIME  RESTARTS  CPU     MEMORY   NOTE
web-1  running  4321  2 h     0         12.3 %  3.0 MiB
web-2  backoff                3                          exit status 3, again in 4 s
";
        assert_eq!(plain(&table(&all, clock().now, None)), wanted);
        assert_eq!(table(&[], clock().now, None), "No processes\n");
    }

    #[test]
    fn one_instance_in_full() {
        let text = plain(&status(&instance(json!({ "provisioned": true })), &clock()));
        let wanted = "\
Name: web-1
Process: web
State: running
Ready: yes
Process id: 4321
Started: 2025-09-19 12:00:00
Uptime: 2 h
Restarts: 0
Seen by: exec:pid
Declared in: the configuration
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn groups_in_a_table() {
        let group = ProcessGroup {
            name: "webstack".to_owned(),
            members: ["web", "api"].map(|name| piton_api::GroupMember { name: name.to_owned(), instances: 1 }).to_vec(),
            state: "degraded".to_owned(),
            running: 1,
            total: 2,
        };
        let wanted = "NAME      STATE     RUNNING  MEMBERS\nwebstack  degraded  1/2      web api\n";
        assert_eq!(plain(&groups(&[group])), wanted);
    }

    #[test]
    fn sizes() {
        let table =
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (u64::MAX, "16777216.0 TiB")];
        for (bytes, words) in table {
            assert_eq!(size(bytes), words);
        }
    }
}
