//! What somebody asks for becomes a row, or a list of what is wrong with it. Pure.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use piton_model::{ApprovalStatus, JobType, NewProvision, ScheduleId, Secret, inexact};
use serde_json::{Map, Value};

use super::moment::{self, Moment};

/// The largest employee, and the largest applications, as JSON.
const OBJECT: usize = 64 * 1024;
/// The largest payload, as JSON.
const PAYLOAD: usize = 256 * 1024;
/// How many tags there may be, and how many characters each may have.
const TAGS: usize = 100;
const TAG: usize = 100;
/// The longest name or address.
const TEXT: usize = 320;

/// A member that requests for another time have, too.
pub(crate) const ALLOW_PAST: &str = "allow_past";

/// What requests are measured by.
#[derive(Debug, Clone)]
pub(crate) struct Measure<'a> {
    pub(crate) now: Timestamp,
    /// The zone of times that name none.
    pub(crate) zone: &'a TimeZone,
    pub(crate) allow_past: bool,
    pub(crate) approval_required: &'a BTreeSet<JobType>,
    /// Who asks.
    pub(crate) caller: &'a str,
    /// Whether that was proved.
    pub(crate) is_known: bool,
}

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// A stable word for programs.
    pub(crate) code: &'static str,
    /// Names and numbers, joined with dots.
    pub(crate) field: String,
    pub(crate) detail: String,
    pub(crate) hint: Option<&'static str>,
}

pub(crate) fn mistake(code: &'static str, field: impl Into<String>, detail: impl Into<String>) -> Mistake {
    Mistake { code, field: field.into(), detail: detail.into(), hint: None }
}

impl Mistake {
    pub(crate) fn hint(self, hint: &'static str) -> Mistake {
        Mistake { hint: Some(hint), ..self }
    }

    /// The names and numbers of the field one by one; none where all of the request is meant.
    pub(crate) fn place(&self) -> impl Iterator<Item = &str> {
        self.field.split('.').filter(move |_| !self.field.is_empty())
    }
}

/// Reads a request; the mistakes are those of all of it, not just the first.
pub(crate) fn read(body: &Map<String, Value>, id: ScheduleId, by: &Measure<'_>) -> Result<NewProvision, Vec<Mistake>> {
    let mut reader = Reader { body, found: Vec::new() };
    let job_type = reader.job_type();
    let payload = reader.object("payload", reader.given("payload"), PAYLOAD);
    let within = |name: &str| payload.as_ref().and_then(|payload| payload.get(name)).filter(|value| !value.is_null());
    let employee = reader.given("employee").or_else(|| reader.given("employee_data"));
    let employee = employee.or_else(|| within("employee")).or_else(|| within("employee_data"));
    let employee = reader.object("employee", employee, OBJECT);
    let applications = reader.given("applications").or_else(|| within("applications"));
    let applications = reader.object("applications", applications, OBJECT);
    let target_user_email = reader.email("target_user_email");
    let requested_by = reader.text("requested_by", TEXT);
    let tags = reader.tags();
    let moment = reader.moment(by);

    for name in ["workEmail", "work_email", "email"] {
        let address = employee.as_ref().and_then(|employee| employee.get(name)).filter(|value| !value.is_null());
        if let Some(address) = address {
            reader.check_email(&format!("employee.{name}"), address);
        }
    }
    let switched_on = reader.switched_on(applications.as_ref());
    match job_type {
        Some(JobType::Provision) => {
            if employee.as_ref().is_none_or(Map::is_empty) {
                reader.missing("the person whose accounts are made", "employee");
            }
            if applications.is_none() {
                reader.missing("in which applications accounts are made", "applications");
            } else if switched_on == Some(0) {
                let detail = "no application is switched on";
                let hint = "such as `{\"google\": true}`, or options in place of `true`";
                reader.found.push(mistake("no_application", "applications", detail).hint(hint));
            }
        }
        Some(_) => {
            let is_empty = |object: &Option<Map<String, Value>>| object.as_ref().is_none_or(Map::is_empty);
            // What cannot be read may have said it.
            let is_told = ["employee", "payload"].into_iter().any(|field| reader.is_wrong(field));
            if target_user_email.is_none() && is_empty(&employee) && is_empty(&payload) && !is_told {
                reader.missing("whose account it is about", "target_user_email");
            }
        }
        None => {}
    }
    let (Some(job_type), Some(Moment { at, zone }), true) = (job_type, moment, reader.found.is_empty()) else {
        return Err(reader.found);
    };
    let is_held = by.approval_required.contains(&job_type);
    let approval = if is_held { ApprovalStatus::PendingApproval } else { ApprovalStatus::AutoApproved };
    // Where somebody else has to agree, it counts who asks and not who they say they are.
    let requested_by = requested_by.filter(|_| !(is_held && by.is_known)).unwrap_or_else(|| by.caller.to_owned());
    let secret = |object: Option<Map<String, Value>>| Secret::new(Value::Object(object.unwrap_or_default()));
    Ok(NewProvision {
        id,
        job_type,
        employee: secret(employee),
        applications: secret(applications),
        payload: payload.map(|payload| Secret::new(Value::Object(payload))),
        schedule_time: at,
        timezone: zone,
        tags,
        target_user_email,
        requested_by: Some(requested_by),
        approval,
    })
}

/// Reads what another time is asked for; `zone` is the one that the row has.
pub(crate) fn read_time(
    text: &str,
    timezone: Option<&str>,
    allow_past: bool,
    row: Option<&str>,
    by: &Measure<'_>,
) -> Result<Moment, Mistake> {
    let own = row.and_then(|zone| TimeZone::get(zone).ok());
    let moment = moment::read(text, timezone, own.as_ref().unwrap_or(by.zone))?;
    check_future(moment.at, allow_past, by)?;
    Ok(moment)
}

/// The second that has begun is still to come: many clients know no smaller parts.
fn check_future(at: Timestamp, allow_past: bool, by: &Measure<'_>) -> Result<(), Mistake> {
    let second = by.now.round(jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Floor));
    if allow_past || by.allow_past || at >= second.unwrap_or(by.now) {
        return Ok(());
    }
    let detail = format!("{at} has passed");
    Err(mistake("schedule_in_past", "schedule_time", detail).hint("`\"allow_past\": true` executes it at once"))
}

struct Reader<'a> {
    body: &'a Map<String, Value>,
    found: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    /// A member that says something.
    fn given(&self, name: &str) -> Option<&'a Value> {
        self.body.get(name).filter(|value| !value.is_null())
    }

    fn wrong(&mut self, field: &str, detail: impl Into<String>) {
        self.found.push(mistake("invalid_field", field, detail));
    }

    /// Whether something is wrong with all of a member.
    fn is_wrong(&self, field: &str) -> bool {
        self.found.iter().any(|mistake| mistake.field == field)
    }

    /// What is there and cannot be read is not missing.
    fn missing(&mut self, what: &str, field: &str) {
        if self.is_wrong(field) {
            return;
        }
        self.found.push(mistake("missing_field", field, format!("`{field}` is missing: {what}")));
    }

    fn job_type(&mut self) -> Option<JobType> {
        let Some(value) = self.given("job_type") else { return Some(JobType::Provision) };
        let Some(text) = value.as_str() else {
            let detail = format!("`job_type` must be text, such as `{}`", JobType::Provision);
            self.found.push(mistake("unknown_job_type", "job_type", detail));
            return None;
        };
        let read = text.parse::<JobType>();
        read.map_err(|error| self.found.push(mistake("unknown_job_type", "job_type", error.to_string()))).ok()
    }

    fn object(&mut self, field: &str, value: Option<&Value>, longest: usize) -> Option<Map<String, Value>> {
        let value = value?;
        let Value::Object(members) = value else {
            self.wrong(field, format!("`{field}` must be an object"));
            return None;
        };
        if has_nul(value) {
            self.wrong(field, format!("`{field}` must not hold a NUL character"));
        }
        if let Some(place) = inexact(field, value) {
            let detail = format!("`{place}` is beyond the integers of 64 bits, so that another number would be kept");
            self.found.push(mistake("invalid_field", place, detail).hint("write it as text: in quotes"));
        }
        if value.to_string().len() > longest {
            self.wrong(field, format!("`{field}` must not be larger than {longest} bytes"));
        }
        Some(members.clone())
    }

    /// A text; an empty one is none.
    fn text(&mut self, name: &str, longest: usize) -> Option<String> {
        let value = self.given(name)?;
        let Some(text) = value.as_str() else {
            self.wrong(name, format!("`{name}` must be text"));
            return None;
        };
        if text.chars().count() > longest || text.contains('\0') {
            self.wrong(name, format!("`{name}` must have at most {longest} characters, and no NUL among them"));
        }
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn email(&mut self, name: &str) -> Option<String> {
        let text = self.text(name, TEXT)?;
        self.check_email(name, &Value::from(text.as_str()));
        Some(text)
    }

    fn check_email(&mut self, field: &str, value: &Value) {
        if value.as_str().is_none_or(|text| !is_email(text)) {
            self.found.push(mistake("invalid_email", field, format!("`{field}` is not an email address")));
        }
    }

    fn tags(&mut self) -> Vec<String> {
        let Some(value) = self.given("tags") else { return vec![] };
        let Some(items) = value.as_array() else {
            self.found.push(mistake("invalid_tags", "tags", "`tags` must be an array of texts"));
            return vec![];
        };
        if items.len() > TAGS {
            self.found.push(mistake("invalid_tags", "tags", format!("there must not be more than {TAGS} tags")));
        }
        let mut tags = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item.as_str() {
                Some(tag) if is_tag(tag) => tags.push(tag.to_owned()),
                _ => {
                    let detail = format!("a tag is a text of 1 to {TAG} characters");
                    self.found.push(mistake("invalid_tags", format!("tags.{index}"), detail));
                    break;
                }
            }
        }
        tags
    }

    fn moment(&mut self, by: &Measure<'_>) -> Option<Moment> {
        let allow_past = match self.given(ALLOW_PAST) {
            None => false,
            Some(Value::Bool(allow)) => *allow,
            Some(_) => {
                self.wrong(ALLOW_PAST, "`allow_past` must be true or false");
                false
            }
        };
        let timezone = match self.given("timezone") {
            None => None,
            Some(Value::String(zone)) => Some(zone.as_str()),
            Some(_) => {
                self.wrong("timezone", "`timezone` must be text");
                return None;
            }
        };
        let Some(value) = self.given("schedule_time") else {
            self.missing("when it is to be done", "schedule_time");
            return None;
        };
        // What is no text is no time.
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        read_time(&text, timezone, allow_past, None, by).map_err(|mistake| self.found.push(mistake)).ok()
    }

    /// How many applications are switched on; none where one is neither on nor off.
    fn switched_on(&mut self, applications: Option<&Map<String, Value>>) -> Option<usize> {
        let mut count = Some(0);
        for (name, value) in applications.into_iter().flatten() {
            match value {
                Value::Bool(true) | Value::Object(_) => count = count.map(|count| count + 1),
                Value::Bool(false) | Value::Null => {}
                Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    self.wrong(&format!("applications.{name}"), "an application is `true`, `false` or an object");
                    count = None;
                }
            }
        }
        count
    }
}

fn is_tag(tag: &str) -> bool {
    !tag.trim().is_empty() && tag.chars().count() <= TAG && !tag.contains('\0')
}

/// Databases keep no text with a NUL in it.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a text looks like an address that can receive mail. Whether it does, only its host knows.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let dots_are_apart = |text: &str| !text.starts_with('.') && !text.ends_with('.') && !text.contains("..");
    let is_local = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    (1..=64).contains(&local.len())
        && local.chars().all(is_local)
        && dots_are_apart(local)
        && domain.len() <= 253
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use piton_model::RunId;
    use serde_json::json;

    use super::*;

    fn with(body: &Value, approval_required: &[JobType]) -> Result<NewProvision, Vec<(&'static str, String)>> {
        let approval_required = approval_required.iter().copied().collect();
        let by = Measure {
            now: "2025-06-01T12:00:00.7Z".parse().unwrap(),
            zone: &TimeZone::UTC,
            allow_past: false,
            approval_required: &approval_required,
            caller: "ada",
            is_known: true,
        };
        let id = RunId::new(by.now, [0; 10]).into();
        read(body.as_object().unwrap(), id, &by)
            .map_err(|found| found.into_iter().map(|mistake| (mistake.code, mistake.field)).collect())
    }

    fn good() -> Value {
        json!({
            "employee": {"fullName": "John Doe", "workEmail": "jdoe@company.com"},
            "applications": {"google": true, "microsoft": false},
            "schedule_time": "2025-12-01T09:00:00Z",
            "tags": ["to be created", "new-hire"],
        })
    }

    /// What is wrong with a good request in which these members are as they are here.
    fn mistakes(changes: Value) -> Vec<(&'static str, String)> {
        let mut body = good();
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        with(&body, &[]).err().unwrap_or_default()
    }

    #[test]
    fn both_shapes_of_requests() {
        let row = with(&good(), &[]).unwrap();
        assert_eq!(row.job_type, JobType::Provision);
        assert_eq!(row.employee.expose()["fullName"], "John Doe");
        assert_eq!((row.payload.is_none(), row.tags.len()), (true, 2));
        assert_eq!(row.requested_by.as_deref(), Some("ada"));
        assert_eq!(row.approval, ApprovalStatus::AutoApproved);

        let other = json!({
            "job_type": "terminate", "target_user_email": "jdoe@company.com", "requested_by": "hr",
            "payload": {"reason": "left", "employee": {"fullName": "John Doe"}, "applications": {"google": {}}},
            "schedule_time": "2025-12-01T09:00:00Z", "approval_status": "approved", "status": "completed",
        });
        let row = with(&other, &[]).unwrap();
        assert_eq!((row.job_type, row.requested_by.as_deref()), (JobType::Terminate, Some("hr")));
        assert_eq!(row.employee.expose()["fullName"], "John Doe");
        assert_eq!(row.applications.expose(), &json!({"google": {}}));
        assert_eq!(row.payload.unwrap().expose()["reason"], "left");
        assert_eq!(row.approval, ApprovalStatus::AutoApproved, "what clients say of approval counts nothing");

        let held = with(&other, &[JobType::Terminate]).unwrap();
        assert_eq!(held.approval, ApprovalStatus::PendingApproval);
        assert_eq!(held.requested_by.as_deref(), Some("ada"), "nobody hides behind another name to approve it");
    }

    #[test]
    fn each_mistake_has_a_code_and_a_field() {
        for (changes, code, field) in [
            (json!({"schedule_time": null}), "missing_field", "schedule_time"),
            (json!({"schedule_time": "soon"}), "invalid_schedule_time", "schedule_time"),
            (json!({"schedule_time": 1_764_579_600}), "invalid_schedule_time", "schedule_time"),
            (json!({"schedule_time": "2025-06-01T11:59:59Z"}), "schedule_in_past", "schedule_time"),
            (json!({"timezone": "Mars"}), "unknown_time_zone", "timezone"),
            (json!({"timezone": 1}), "invalid_field", "timezone"),
            (json!({"job_type": "explode"}), "unknown_job_type", "job_type"),
            (json!({"job_type": 1}), "unknown_job_type", "job_type"),
            (json!({"employee": null}), "missing_field", "employee"),
            (json!({"employee": {}}), "missing_field", "employee"),
            (json!({"employee": "John"}), "invalid_field", "employee"),
            (json!({"employee": {"workEmail": "jdoe"}}), "invalid_email", "employee.workEmail"),
            (json!({"employee": {"workEmail": 1}}), "invalid_email", "employee.workEmail"),
            (json!({"employee": {"note": "a\u{0}b"}}), "invalid_field", "employee"),
            (json!({"employee": {"note": "x".repeat(70_000)}}), "invalid_field", "employee"),
            (json!({"applications": null}), "missing_field", "applications"),
            (json!({"applications": {}}), "no_application", "applications"),
            (json!({"applications": {"google": false}}), "no_application", "applications"),
            (json!({"applications": {"google": "yes"}}), "invalid_field", "applications.google"),
            (json!({"target_user_email": "a b@c.example"}), "invalid_email", "target_user_email"),
            (json!({"tags": "x"}), "invalid_tags", "tags"),
            (json!({"tags": ["x", " "]}), "invalid_tags", "tags.1"),
            (json!({"tags": ["x".repeat(101)]}), "invalid_tags", "tags.0"),
            (json!({"tags": vec!["x"; 101]}), "invalid_tags", "tags"),
            (json!({"payload": []}), "invalid_field", "payload"),
            (json!({"payload": {"a": [1, 1e30]}}), "invalid_field", "payload.a.1"),
            (json!({"employee": {"number": -1e19}}), "invalid_field", "employee.number"),
            (json!({"applications": {"google": {"id": 2e20}}}), "invalid_field", "applications.google.id"),
            (json!({"allow_past": "yes"}), "invalid_field", "allow_past"),
            (json!({"requested_by": "x".repeat(400)}), "invalid_field", "requested_by"),
        ] {
            let found = mistakes(changes.clone());
            let first = found.iter().find(|(_, found)| found == field || code == "no_application");
            assert_eq!(first, Some(&(code, field.to_owned())), "{changes}: {found:?}");
        }
        let terminate = json!({"job_type": "terminate", "schedule_time": "2025-12-01T09:00:00Z"});
        assert_eq!(with(&terminate, &[]).unwrap_err(), [("missing_field", "target_user_email".to_owned())]);
        assert_eq!(with(&json!({}), &[]).unwrap_err().len(), 3, "all that is wrong is told at once");
    }

    #[test]
    fn what_cannot_be_read_is_not_missing_too() {
        let of =
            |fields: &[&str]| fields.iter().map(|field| ("invalid_field", (*field).to_owned())).collect::<Vec<_>>();
        assert_eq!(mistakes(json!({"employee": 5, "applications": "google"})), of(&["employee", "applications"]));
        let without = |changes: Value| {
            let mut body = json!({"job_type": "terminate", "schedule_time": "2025-12-01T09:00:00Z"});
            for (name, value) in changes.as_object().unwrap() {
                body[name] = value.clone();
            }
            with(&body, &[]).unwrap_err()
        };
        for field in ["target_user_email", "employee", "payload"] {
            assert_eq!(without(json!({field: 5})), of(&[field]));
        }
    }

    #[test]
    fn a_type_that_is_no_text_is_told_so() {
        let body = json!({"job_type": 5});
        let mut reader = Reader { body: body.as_object().unwrap(), found: vec![] };
        assert_eq!(reader.job_type(), None);
        assert_eq!(reader.found[0].detail, "`job_type` must be text, such as `provision`");
    }

    #[test]
    fn what_has_passed() {
        let at = |time: &str| mistakes(json!({"schedule_time": time}));
        assert_eq!(at("2025-06-01T12:00:00Z"), [], "the second that has begun is not over");
        assert_eq!(at("2025-06-01T11:59:59.9Z").len(), 1);
        assert_eq!(mistakes(json!({"schedule_time": "2020-01-01T00:00:00Z", "allow_past": true})), []);
        assert_eq!(mistakes(json!({"target_user_email": "", "requested_by": null})), []);
    }

    #[test]
    fn addresses() {
        for good in ["a@b.example", "jdoe+x@company.com", "o'neil@sub.company.com", "jürgen@bücher.example"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "a", "@b.example", "a@", "a@b", "a@b..example", ".a@b.example", "a b@c.example", "a@-b.example"]
        {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
