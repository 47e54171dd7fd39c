//! Probes: how it is seen whether an instance is up, ready and alive.

use std::time::Duration;

use piton_model::{Probe, ProbeCheck, Probes, with_lower_scheme};

use super::items::{Reading, count, integer, positive_span, program, span};
use crate::diagnostic::Severity;
use crate::document::Value;
use crate::fields::{Fields, Item, shown};

const PERIOD: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn read_probes(fields: &mut Fields<'_, '_>, reading: Reading<'_>) -> Probes {
    let mut read = |key, only_one_success| {
        let item = fields.get(key)?;
        let probe = read_probe(&item, reading)?;
        if only_one_success && probe.success_threshold != 1 {
            let message = "`success_threshold` is 1 for startup and liveness: one success is enough";
            item.report(item.error("out_of_range", message));
        }
        Some(probe)
    };
    Probes {
        startup: read("startup_probe", true),
        readiness: read("readiness_probe", false),
        liveness: read("liveness_probe", true),
    }
}

fn read_probe(item: &Item<'_, '_>, reading: Reading<'_>) -> Option<Probe> {
    let mut fields = item.table()?;
    let checks = [fields.get("exec"), fields.get("http"), fields.get("tcp")];
    let given = checks.iter().flatten().count();
    if given != 1 {
        let message = format!("a probe needs one of `exec`, `http` and `tcp`, and {given} of them are there");
        let code = if given == 0 { "missing_field" } else { "conflicting_fields" };
        item.report(item.error(code, message));
    }
    let [exec, http, tcp] = checks;
    let exec = exec.and_then(|item| read_exec(&item));
    let http = http.and_then(|item| read_http(&item));
    let tcp = tcp.and_then(|item| read_tcp(&item));
    let initial_delay = fields.get("initial_delay").and_then(|item| span(&item, reading));
    let period = fields.get("period").and_then(|item| positive_span(&item, reading, LONGEST));
    let timeout = fields.get("timeout").and_then(|item| positive_span(&item, reading, LONGEST));
    let success = fields.get("success_threshold").and_then(|item| count(&item, 1, 1_000));
    let failure = fields.get("failure_threshold").and_then(|item| count(&item, 1, 1_000_000));
    fields.finish(Severity::Error);
    Some(Probe {
        check: exec.or(http).or(tcp)?,
        initial_delay: initial_delay.unwrap_or_default(),
        period: period.unwrap_or(PERIOD),
        timeout: timeout.unwrap_or(TIMEOUT),
        success_threshold: success.unwrap_or(1),
        failure_threshold: failure.unwrap_or(3),
    })
}

/// A command, or a table with one.
fn read_exec(item: &Item<'_, '_>) -> Option<ProbeCheck> {
    let program = if matches!(item.node.value, Value::Table(_)) {
        let mut fields = item.table()?;
        let command = fields.get("command").or_else(|| {
            item.report(item.error("missing_field", "this needs a `command`"));
            None
        });
        let read = command.and_then(|item| program(&item));
        fields.finish(Severity::Error);
        read?
    } else {
        program(item)?
    };
    Some(ProbeCheck::Exec { program })
}

/// A URL, or a table of its parts.
fn read_http(item: &Item<'_, '_>) -> Option<ProbeCheck> {
    if matches!(item.node.value, Value::Table(_)) {
        let mut fields = item.table()?;
        let url_item = fields.get("url");
        let url = url_item.as_ref().and_then(read_url);
        let host = fields.get("host").and_then(|item| item.filled()).map(str::trim);
        let port_item = fields.get("port");
        let port = port_item.as_ref().and_then(port);
        let path = fields.get("path").and_then(|item| item.filled()).map(str::trim);
        let scheme = fields.get("scheme").and_then(|item| item.choice(&[("http", "http"), ("https", "https")]));
        fields.finish(Severity::Error);
        if url.is_some() {
            if host.is_some() || port.is_some() || path.is_some() || scheme.is_some() {
                item.report(
                    item.error("conflicting_fields", "`url` is the whole URL, and there are parts of one beside it"),
                );
            }
            return url.map(|url| ProbeCheck::Http { url });
        }
        let Some(port) = port else {
            if url_item.is_none() && port_item.is_none() {
                item.report(item.error("missing_field", "this needs a `url` or a `port`"));
            }
            return None;
        };
        let path = path.unwrap_or("/");
        let slash = if path.starts_with('/') { "" } else { "/" };
        let text = format!("{}://{}:{port}{slash}{path}", scheme.unwrap_or("http"), host.unwrap_or("127.0.0.1"));
        return check_url(item, &text).map(|url| ProbeCheck::Http { url });
    }
    read_url(item).map(|url| ProbeCheck::Http { url })
}

fn read_url(item: &Item<'_, '_>) -> Option<String> {
    check_url(item, item.filled()?.trim())
}

fn check_url(item: &Item<'_, '_>, text: &str) -> Option<String> {
    let spelt = with_lower_scheme(text, "://");
    let (scheme, rest) = spelt.split_once("://").unwrap_or_default();
    let of_web = ["http", "https"].contains(&scheme);
    let authority = of_web.then(|| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let good = authority.is_some_and(|authority| !authority.is_empty() && !authority.starts_with(':'))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if !good {
        let error = item.error("invalid_url", format!("`{}` is not the URL of a web server", shown(text)));
        item.report(error.hint("for example `http://127.0.0.1:8080/health`"));
        return None;
    }
    if let Some(port) = authority.and_then(bad_port) {
        let error = item.error("invalid_url", format!("`{}` is not a port", shown(port)));
        item.report(error.hint(PORT_HINT));
        return None;
    }
    Some(spelt.into_owned())
}

const PORT_HINT: &str = "a port is a number from 1 to 65535";

/// The number of a port.
fn port(item: &Item<'_, '_>) -> Option<u16> {
    integer(item, 1, 65_535).and_then(|number| u16::try_from(number).ok())
}

/// What stands in the place of the port of `HOST`, `HOST:PORT` or `USER@HOST:PORT` and is none. Where nothing stands
/// there it is the usual one.
fn bad_port(authority: &str) -> Option<&str> {
    let place = authority.rsplit('@').next().unwrap_or_default();
    // The colons in brackets are those of an address.
    let after = place.strip_prefix('[').and_then(|inner| inner.split_once(']')).map_or(place, |(_, after)| after);
    let (_, port) = after.split_once(':')?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let good = port.is_empty() || (digits && port.parse::<u16>().is_ok_and(|port| port > 0));
    (!good).then_some(port)
}

/// `HOST:PORT`, a port alone, or a table of both.
fn read_tcp(item: &Item<'_, '_>) -> Option<ProbeCheck> {
    let (host, port) = match &item.node.value {
        Value::Number(_) => ("127.0.0.1", port(item)?.to_string()),
        Value::Table(_) => {
            let mut fields = item.table()?;
            let host = fields.get("host").and_then(|item| item.filled()).map(str::trim);
            let port_item = fields.get("port").or_else(|| {
                item.report(item.error("missing_field", "this needs a `port`"));
                None
            });
            let port = port_item.and_then(|item| port(&item));
            fields.finish(Severity::Error);
            (host.unwrap_or("127.0.0.1"), port?.to_string())
        }
        _ => {
            let text = item.filled()?.trim();
            let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
            (if host.is_empty() { "127.0.0.1" } else { host }, port.to_owned())
        }
    };
    let good = port.parse::<u16>().is_ok_and(|port| port > 0)
        && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/')
        && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
    if !good {
        let error =
            item.error("invalid_address", format!("`{}` is not a host and a port", shown(&format!("{host}:{port}"))));
        let hint = format!("for example `127.0.0.1:5432` or `[::1]:5432`; {PORT_HINT}");
        item.report(error.hint(hint));
        return None;
    }
    Some(ProbeCheck::Tcp { address: format!("{host}:{port}") })
}
