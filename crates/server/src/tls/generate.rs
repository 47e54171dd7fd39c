//! Self-signed certificates, for development.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use piton_spec::TlsSubject;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use super::TlsError;
use super::files::file;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Writes `tls.crt` and `tls.key`.
pub(super) fn generate(directory: &Path, subject: &TlsSubject, now: Timestamp) -> Result<(), TlsError> {
    let failed = |error: rcgen::Error| TlsError::Generate(error.to_string());
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params(subject, now).map_err(failed)?.self_signed(&key).map_err(failed)?;
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|source| file(directory, source))?;
    write(&directory.join("tls.key"), &key.serialize_pem(), 0o600)?;
    write(&directory.join("tls.crt"), &certificate.pem(), 0o644)
}

fn params(subject: &TlsSubject, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, subject.common_name.as_str());
    params.distinguished_name.push(DnType::OrganizationName, subject.organization.as_str());
    let mut names: Vec<&str> = subject.dns_names.iter().chain(&subject.ip_addresses).map(String::as_str).collect();
    // Clients look at these names only, never at the common name.
    names.push(&subject.common_name);
    for name in names {
        let name = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into()?),
        };
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    // A day early, for clients whose clock is slow.
    let begin = now.saturating_sub(DAY).unwrap_or(now);
    let end = now.saturating_add(DAY * i32::try_from(subject.valid_days).unwrap_or(i32::MAX)).unwrap_or(now);
    let day = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (day(begin), day(end.saturating_add(DAY).unwrap_or(end)));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// Nobody sees half of it, and nobody else a key.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let partial = path.with_extension("new");
    let _ = std::fs::remove_file(&partial);
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&partial, path)).map_err(|source| file(path, source))
}
