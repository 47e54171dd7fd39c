//! Scheduled provisions: the routes and commands about them.

use serde_json::{Value, json};

use crate::auth::{Door, PASSWORD, guarded};
use crate::site::Site;
use crate::wire::{Reply, get, request};

pub fn body() -> Value {
    json!({
        "employee": {
            "fullName": "John Doe", "workEmail": "jdoe@company.com", "department": "Engineering",
            "jobTitle": "Software Engineer", "role": "developer", "initialPassword": "hunter2",
        },
        "applications": {"google": true, "microsoft": true, "google-workspace": {"groups": ["a"]}},
        "schedule_time": "2099-12-01T09:00:00Z",
        "tags": ["to be created", "new-hire"],
    })
}

pub fn post(address: &str, path: &str, body: &Value) -> Reply {
    request(address, "POST", path, &[], &body.to_string())
}

/// Schedules something; its id.
pub fn schedule(address: &str, body: &Value) -> String {
    let reply = post(address, "/api/schedule", body);
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].as_str().unwrap().to_owned()
}

fn ids(reply: &Reply) -> Vec<String> {
    let rows = reply.json();
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_request_is_kept_until_its_time() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let empty = get(&address, "/api/schedule");
    assert_eq!((empty.status, empty.json()), (200, json!([])), "an empty list is a list");

    let made = post(&address, "/api/schedule", &body());
    assert_eq!(made.status, 201, "{}", made.text());
    let row = made.json();
    let id = row["id"].as_str().unwrap();
    assert_eq!(made.header("location"), Some(format!("/api/schedule/{id}").as_str()));
    for (member, wanted) in [
        ("status", json!("pending")),
        ("job_type", json!("provision")),
        ("approval_status", json!("auto_approved")),
        ("tags", json!(["to be created", "new-hire"])),
        ("schedule_time", json!("2099-12-01T09:00:00Z")),
        ("applications", body()["applications"].clone()),
        ("retry_count", json!(0)),
        ("executed_at", Value::Null),
        ("error_message", Value::Null),
    ] {
        assert_eq!(row[member], wanted, "{member}");
    }
    assert_eq!(row["employee"]["initialPassword"], "***");
    assert_eq!(row["employee_data"], row["employee"]);
    assert!(row["created_at"].is_string() && row["updated_at"].is_string() && row["requested_by"].is_string());
    assert_eq!(get(&address, &format!("/api/schedule/{id}")).json(), row);

    let cancelled = request(&address, "DELETE", &format!("/api/schedule/{id}"), &[], "");
    assert_eq!((cancelled.status, &cancelled.json()["status"]), (200, &json!("cancelled")));
    for (method, path, status, code) in [
        ("DELETE", format!("/api/schedule/{id}"), 409, "provision_not_pending"),
        ("POST", format!("/api/schedule/{id}/execute"), 409, "provision_not_pending"),
        ("POST", format!("/api/schedule/{id}/approve"), 409, "provision_not_pending"),
        ("DELETE", "/api/schedule/019a3f2e-0000-7000-8000-a1b2c3d4e5f6".to_owned(), 404, "not_found"),
        ("GET", "/api/schedule/nonsense".to_owned(), 404, "not_found"),
        ("POST", "/api/schedule/nonsense/execute".to_owned(), 404, "not_found"),
    ] {
        let reply = request(&address, method, &path, &[], "");
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{method} {path}");
        assert!(reply.json()["error"].is_string(), "for older clients");
    }
    drop(daemon);
    let daemon = site.serve();
    assert_eq!(get(&daemon.address(), &format!("/api/schedule/{id}")).json()["status"], "cancelled", "after a restart");
}

#[test]
fn a_mistake_is_told_with_its_field() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    for (changes, code, pointer) in [
        (json!({"schedule_time": "2020-01-01T00:00:00Z"}), "schedule_in_past", "/schedule_time"),
        (json!({"schedule_time": null}), "missing_field", "/schedule_time"),
        (json!({"schedule_time": "soon"}), "invalid_schedule_time", "/schedule_time"),
        (json!({"timezone": "Mars/Olympus"}), "unknown_time_zone", "/timezone"),
        (json!({"employee": {"workEmail": "nobody"}}), "invalid_email", "/employee/workEmail"),
        (json!({"applications": {}}), "no_application", "/applications"),
        (json!({"tags": ["x".repeat(101)]}), "invalid_tags", "/tags/0"),
        (json!({"job_type": "explode"}), "unknown_job_type", "/job_type"),
        (json!({"employee": {"note": "a\u{0}b"}}), "invalid_field", "/employee"),
    ] {
        let mut wrong = body();
        for (name, value) in changes.as_object().unwrap() {
            wrong[name] = value.clone();
        }
        let reply = post(&address, "/api/schedule", &wrong);
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{}", reply.text());
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer);
        assert_eq!(get(&address, &format!("/docs/errors/{code}")).status, 200, "{code} has a page");
    }
    for bad in ["[]", "{", "7"] {
        assert_eq!(request(&address, "POST", "/api/schedule", &[], bad).status, 400, "{bad}");
    }
    for query in ["status=done", "type=x", "limit=x", "cursor=x", "colour=red"] {
        assert_eq!(get(&address, &format!("/api/schedule?{query}")).status, 400, "{query}");
    }
    assert_eq!(get(&address, "/api/schedule").json(), json!([]), "nothing of it was kept");
    let mut past = body();
    past["schedule_time"] = json!("2020-01-01T00:00:00Z");
    past["allow_past"] = json!(true);
    schedule(&address, &past);
}

#[test]
fn lists_have_filters_and_pages() {
    let site = Site::new().env("PITON_SERVER__BASE_PATH", "/else/where");
    let daemon = site.serve();
    let address = daemon.address();
    let mut all: Vec<String> =
        (10..20).map(|day| schedule(&address, &at(&format!("2099-01-{day}T09:00:00Z")))).collect();
    all.reverse();
    let other = json!({
        "job_type": "terminate", "target_user_email": "x@company.com", "payload": {"reason": "left"},
        "schedule_time": "2098-01-01T00:00:00Z", "tags": [],
    });
    let other = schedule(&address, &other);
    assert_eq!(ids(&get(&address, "/api/schedule?status=pending&tag=to-be-created&type=")), all);
    for tag in ["to%20be%20created", "to_be_created", "TO-BE-CREATED"] {
        assert_eq!(ids(&get(&address, &format!("/api/schedule?tag={tag}"))).len(), 10, "{tag}");
    }
    assert_eq!(ids(&get(&address, "/api/schedule?type=terminate")), std::slice::from_ref(&other));
    assert_eq!(ids(&get(&address, "/api/schedule?status=failed")), Vec::<String>::new());
    assert_eq!(ids(&get(&address, "/api/schedule?offset=9&limit=1")), all[9..10]);
    assert_eq!(ids(&get(&address, "/else/where/schedule")), ids(&get(&address, "/api/schedule")), "both are the same");

    all.push(other);
    let (mut seen, mut path) = (Vec::new(), "/api/schedule?limit=3".to_owned());
    loop {
        let page = get(&address, &path);
        seen.extend(ids(&page));
        let Some(link) = page.header("link") else { break };
        let (target, relation) = link.split_once(">; ").unwrap();
        assert_eq!(relation, "rel=\"next\"");
        path = target.trim_start_matches('<').to_owned();
        assert!(seen.len() < 20, "it has no end");
    }
    assert_eq!(seen, all);
}

fn at(time: &str) -> Value {
    let mut body = body();
    body["schedule_time"] = json!(time);
    body
}

#[test]
fn times_are_meant_in_a_zone() {
    let site = Site::new().env("SCHEDULER_TIMEZONE", "America/Los_Angeles");
    let daemon = site.serve();
    let address = daemon.address();
    let mut local = at("2099-07-01T09:00:00");
    let id = schedule(&address, &local);
    let path = format!("/api/schedule/{id}");
    let row = get(&address, &path).json();
    assert_eq!(row["schedule_time"], "2099-07-01T16:00:00Z");
    assert_eq!(
        (&row["timezone"], &row["schedule_time_local"]),
        (&json!("America/Los_Angeles"), &json!("2099-07-01T09:00:00-07:00"))
    );
    local["timezone"] = json!("Europe/Berlin");
    let berlin = schedule(&address, &local);
    assert_eq!(get(&address, &format!("/api/schedule/{berlin}")).json()["schedule_time"], "2099-07-01T07:00:00Z");

    // Another time, in the zone that it has, and in another one.
    let moved = request(&address, "PATCH", &path, &[], r#"{"schedule_time": "2099-08-01T10:00"}"#);
    assert_eq!(
        (moved.status, &moved.json()["schedule_time"]),
        (200, &json!("2099-08-01T17:00:00Z")),
        "{}",
        moved.text()
    );
    let zone = json!({"schedule_time": "2099-08-01T10:00", "timezone": "Asia/Tokyo"});
    let moved = post(&address, &format!("{path}/reschedule"), &zone);
    assert_eq!((moved.status, &moved.json()["schedule_time"]), (200, &json!("2099-08-01T01:00:00Z")));
    for (bad, code) in [
        (json!({}), "missing_field"),
        (json!({"schedule_time": "2020-01-01T00:00:00Z"}), "schedule_in_past"),
        (json!({"schedule_time": "2099-08-01T10:00", "timezone": "x"}), "unknown_time_zone"),
        (json!({"schedule_time": "2099-08-01T10:00", "tags": []}), "invalid_field"),
    ] {
        let reply = request(&address, "PATCH", &path, &[], &bad.to_string());
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{bad}");
    }
}

#[test]
fn the_same_request_makes_one_row() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let keyed = || request(&address, "POST", "/api/schedule", &[("Idempotency-Key", "k1")], &body().to_string());
    let (first, again) = (keyed(), keyed());
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!((again.header("idempotency-replayed"), again.json()), (Some("true"), first.json()));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(ids(&get(&address, "/api/schedule")).len(), 1);
}

fn bulk(address: &str, query: &str, kind: &str, text: &str) -> Reply {
    request(address, "POST", &format!("/api/schedule/bulk{query}"), &[("Content-Type", kind)], text)
}

#[test]
fn a_file_is_taken_line_by_line_or_as_a_whole() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let table = "fullName,workEmail,applications,schedule_time,timezone,tags\n\
        John Doe,jdoe@company.com,google;microsoft,2099-12-01T09:00:00,Europe/Berlin,new-hire;to be created\n\
        Jane Roe,jane,google,2099-12-01T09:00:00Z,,\n\
        \"Roe, Jim\",jim@company.com,google,2099-12-01T09:00:00Z,,\n";
    let reply = bulk(&address, "?atomic=true", "text/csv", table);
    assert_eq!((reply.status, reply.code().as_str()), (400, "bulk_refused"));
    assert_eq!(reply.json()["errors"][0]["pointer"], "/3/employee/workEmail");
    assert_eq!(get(&address, "/api/schedule").json(), json!([]));

    let reply = bulk(&address, "", "text/csv; charset=utf-8", table);
    let answer = reply.json();
    assert_eq!((reply.status, &answer["created"], &answer["failed"]), (200, &json!(2), &json!(1)), "{answer}");
    let error = &answer["results"][1]["error"];
    assert_eq!(
        (&answer["results"][1]["line"], &error["code"], &error["field"]),
        (&json!(3), &json!("invalid_email"), &json!("employee.workEmail"))
    );
    let first = get(&address, &format!("/api/schedule/{}", answer["results"][0]["id"].as_str().unwrap())).json();
    assert_eq!(
        (&first["schedule_time"], &first["applications"]),
        (&json!("2099-12-01T08:00:00Z"), &json!({"google": true, "microsoft": true}))
    );
    assert_eq!(first["tags"], json!(["new-hire", "to be created"]));

    let lines = format!("{}\n\n{{\"nonsense\"\n{}\n", body(), body());
    let answer = bulk(&address, "", "application/x-ndjson", &lines).json();
    let numbers: Vec<u64> =
        answer["results"].as_array().unwrap().iter().map(|one| one["line"].as_u64().unwrap()).collect();
    assert_eq!((&answer["created"], numbers), (&json!(2), vec![1, 3, 4]));
    assert_eq!(answer["results"][1]["error"]["code"], "invalid_row");
    assert_eq!(bulk(&address, "", "text/csv", "a,b\n1,2\n").code(), "invalid_csv");
    assert_eq!(bulk(&address, "", "application/json", "[]").status, 415);
    let open = "fullName,workEmail,applications,schedule_time,timezone,tags\n\
        \"Doe,jd@c.org,google,2099-12-01T09:00,,a\n\
        Jim,jim@company.com,google,2099-12-01T09:00,,a\n";
    let reply = bulk(&address, "", "text/csv", open);
    assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_csv"), "{}", reply.text());
    assert!(reply.text().contains("the quote that begins in line 2 is never closed"), "{}", reply.text());
}

#[test]
fn a_hundred_thousand_lines_are_taken_at_once() {
    let site = Site::new();
    let daemon = site.serve();
    let address = daemon.address();
    let mut table = String::from("fullName,workEmail,applications,schedule_time,tags\n");
    for number in 0..100_000 {
        use std::fmt::Write as _;
        writeln!(table, "Person {number},p{number}@company.com,google,2099-12-01T09:00:00Z,new-hire").unwrap();
    }
    site.write("people.csv", &table);
    let import = site.piton(["schedule", "import", "people.csv"]);
    assert_eq!((import.code, import.out.as_str()), (0, "100000 scheduled, 0 refused\n"), "{import}");
    let metrics = get(&address, "/metrics").text();
    assert!(metrics.contains("\nscheduled_provisions_total 100000\n"), "{metrics}");
    assert!(metrics.contains("piton_provisions{status=\"pending\"} 100000\n"), "{metrics}");
}

#[test]
fn some_need_somebody_who_agrees() {
    let site =
        guarded().env("PITON_PROVISIONING__APPROVAL_REQUIRED", "terminate").env("PITON_IAC__SELF_APPROVAL", "false");
    let daemon = site.serve();
    let admin = Door::anonymous(&daemon).basic("admin", PASSWORD);
    admin.create_user("ada", "twelve monkeys", "operator");
    let ada = Door::anonymous(&daemon).basic("ada", "twelve monkeys");
    let terminate = json!({
        "job_type": "terminate", "target_user_email": "x@company.com", "requested_by": "somebody else",
        "schedule_time": "2099-01-01T00:00:00Z", "approval_status": "approved",
    });
    let make = || {
        let reply = ada.send("POST", "/api/schedule", &terminate.to_string());
        assert_eq!(reply.status, 201, "{}", reply.text());
        (format!("/api/schedule/{}", reply.json()["id"].as_str().unwrap()), reply.json())
    };
    let (path, row) = make();
    assert_eq!((&row["approval_status"], &row["requested_by"]), (&json!("pending_approval"), &json!("ada")));
    let unkept = admin.send("POST", &format!("{path}/approve"), "{\"reason\": \"a\\u0000b\"}");
    assert_eq!((unkept.status, unkept.code().as_str()), (400, "invalid_field"));
    let mistyped = admin.send("POST", &format!("{path}/approve"), r#"{"reson": "fine"}"#);
    assert_eq!((mistyped.status, mistyped.code().as_str()), (400, "invalid_body"), "{}", mistyped.text());
    assert_eq!(mistyped.json()["errors"][0]["pointer"], "/reson");
    let early = ada.send("POST", &format!("{path}/execute"), "");
    assert_eq!((early.status, early.code().as_str()), (409, "approval_required"));
    let own = ada.send("POST", &format!("{path}/approve"), "");
    assert_eq!((own.status, own.code().as_str()), (403, "self_approval"));
    let approved = admin.send("POST", &format!("{path}/approve"), r#"{"reason": "fine"}"#);
    assert_eq!((approved.status, &approved.json()["approved_by"]), (200, &json!("admin")));
    assert_eq!(ada.send("GET", &path, "").json()["approval_reason"], "fine", "whoever asked sees why");
    assert_eq!(admin.send("POST", &format!("{path}/approve"), "").code(), "nothing_to_approve");

    let (path, _) = make();
    let rejected = admin.send("POST", &format!("{path}/reject"), r#"{"reason": "not yet"}"#).json();
    assert_eq!((&rejected["status"], &rejected["approval_status"]), (&json!("cancelled"), &json!("rejected")));
    assert_eq!(rejected["error_message"], "rejected by admin: not yet");
    assert_eq!(rejected["approval_reason"], "not yet");
    let asked = ada.send("POST", &format!("{path}/retry"), "");
    assert_eq!((asked.status, &asked.json()["approval_status"]), (202, &json!("pending_approval")), "{}", asked.text());
    assert_eq!((&asked.json()["status"], &asked.json()["approved_by"]), (&json!("pending"), &json!(null)));
    let approved = admin.send("POST", &format!("{path}/approve"), "");
    assert_eq!((approved.status, &approved.json()["status"]), (200, &json!("pending")), "{}", approved.text());
}

#[test]
fn commands_work_with_and_without_a_daemon() {
    let site = Site::new();
    site.write("one.yaml", "employee: {fullName: Ada, workEmail: ada@example.org}\napplications: {google: true}\nschedule_time: 2099-01-01T09:00:00Z\ntags: [new-hire]\n");
    site.write("many.json", &json!([body(), body()]).to_string());
    site.write("bad.json", &json!([body(), {"schedule_time": "2099-01-01T09:00:00Z"}]).to_string());
    site.write(
        "people.csv",
        "fullName,applications,schedule_time\nJim,google,2099-01-01T09:00\nJoe,,2099-01-01T09:00\n",
    );
    for round in 0..2 {
        let daemon = (round == 1).then(|| site.serve());
        let made = site.json(["schedule", "create", "--file", "one.yaml"]);
        let id = made["id"].as_str().unwrap();
        assert_eq!(made["employee"]["fullName"], "Ada");
        assert_eq!(site.json(["schedule", "create", "-f", "many.json"])["created"], 2);
        let none = site.piton(["schedule", "create", "-f", "bad.json"]);
        assert_eq!(none.code, 2, "all or none");
        let (first, each) = none.err.split_once('\n').unwrap();
        assert!(first.contains("1 of 2 lines cannot be scheduled"), "{none}");
        assert!(each.contains("  line 2: employee"), "{none}");
        let none = site.piton(["schedule", "create", "-f", "bad.json", "-o", "json"]);
        let problem: Value = serde_json::from_str(&none.err).unwrap();
        assert_eq!((none.code, problem["code"].as_str()), (2, Some("bulk_refused")), "{none}");
        let import = site.piton(["schedule", "import", "people.csv"]);
        assert!(
            import.code == 1 && import.out.starts_with("1 scheduled, 1 refused\n  line 3: applications: "),
            "{import}"
        );
        let listed = site.json(["schedule", "list", "--status", "pending", "--tag", "new_hire"]);
        assert_eq!(listed.as_array().unwrap().len(), 3 + 3 * round);
        let past = site.piton(["schedule", "reschedule", id, "2020-02-01T09:00:00Z"]);
        assert!(past.code == 2 && past.err.contains("`--allow-past`") && !past.err.contains("allow_past"), "{past}");
        let moved = site.json(["schedule", "reschedule", id, "2099-02-01T09:00", "--timezone", "Europe/Berlin"]);
        assert_eq!(moved["schedule_time"], "2099-02-01T08:00:00Z");
        let shown = site.piton(["schedule", "show", id]);
        assert!(shown.code == 0 && shown.out.contains("Meant As: 2099-02-01T09:00:00+01:00 Europe/Berlin"), "{shown}");
        let made = site.piton(["schedule", "create", "-f", "one.yaml"]);
        assert_eq!(made.err.contains("no daemon is running"), daemon.is_none(), "{made}");
        assert_eq!(site.piton(["schedule", "cancel", id]).code, 0);
        assert_eq!(site.piton(["schedule", "cancel", id]).code, 5);
        assert_eq!(site.piton(["schedule", "execute", id]).code, 5);
        assert_eq!(site.piton(["schedule", "show", "019a3f2e-0000-7000-8000-a1b2c3d4e5f6"]).code, 3);
        assert_eq!(site.piton(["schedule", "list", "--status", "done"]).code, 2);
        assert_eq!(site.piton(["schedule", "import", "one.yaml"]).code, 2);
        assert!(site.json(["run", "list", "--kind", "provision"]).as_array().unwrap().is_empty());
    }
    site.audit();
}

#[test]
fn a_line_that_is_not_utf_8_keeps_no_other_away() {
    let site = Site::new();
    let mut table = b"fullName,applications,schedule_time\n".to_vec();
    for name in [b"Ada".as_slice(), b"J\xfcrgen".as_slice(), b"Zo\xc3\xab".as_slice()] {
        table.extend_from_slice(name);
        table.extend_from_slice(b",google,2099-01-01T09:00:00Z\n");
    }
    let good = format!("{}\n", body()).into_bytes();
    let lines = [good.clone(), b"{\"employee\": {\"fullName\": \"J\xfcrgen\"}}\n".to_vec(), good].concat();
    for (name, bytes) in [("latin.csv", &table), ("latin.ndjson", &lines)] {
        std::fs::write(site.path().join(name), bytes).unwrap();
    }
    for round in 0..2 {
        let daemon = (round == 1).then(|| site.serve());
        for (name, line) in [("latin.csv", "line 3"), ("latin.ndjson", "line 2")] {
            let none = site.piton(["schedule", "import", name, "--atomic"]);
            assert!(none.code == 2 && none.err.contains(line) && none.err.contains("not UTF-8"), "{none}");
            let import = site.piton(["schedule", "import", name]);
            assert_eq!(import.code, 1, "{import}");
            assert!(import.out.starts_with("2 scheduled, 1 refused\n"), "{import}");
            assert!(import.out.contains(line) && import.out.contains("not UTF-8"), "{import}");
        }
        let none = site.piton(["schedule", "create", "--file", "latin.ndjson"]);
        assert!(none.code == 2 && none.err.contains("line 2 is not UTF-8"), "{none}");
        drop(daemon);
    }
    let rows = site.json(["schedule", "list"]);
    let names: Vec<&str> =
        rows.as_array().unwrap().iter().map(|row| row["employee"]["fullName"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    assert!(names.contains(&"Ada") && names.contains(&"Zo\u{eb}"), "{names:?}");
}
