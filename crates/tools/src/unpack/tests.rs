use super::*;
use std::io::Seek;

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar archive whose headers are written as given, however unwise.
fn tar_gz(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        if matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_entry_type(*kind);
        header.set_mode(0o4777);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    gzip(&builder.into_inner().unwrap())
}

fn zip(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (path, mode, content) in entries {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(mode & 0o777);
        if mode & 0o170_000 == 0o120_000 {
            writer.add_symlink(*path, String::from_utf8_lossy(content), options).unwrap();
        } else {
            writer.start_file(*path, options).unwrap();
            writer.write_all(content).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

fn unpacked(tool: Tool, archive: &[u8], limit: u64) -> Result<Vec<u8>, &'static str> {
    let mut program = Vec::new();
    unpack(tool, "archive", file(archive), &mut program, limit).map_err(|error| error.code())?;
    Ok(program)
}

const REGULAR: tar::EntryType = tar::EntryType::Regular;
const LIMIT: u64 = 1 << 20;

#[test]
fn takes_the_program_and_leaves_the_rest() {
    let tar = tar_gz(&[
        ("LICENSE", REGULAR, b"MPL"),
        ("docs/", tar::EntryType::Directory, b""),
        ("tofu", REGULAR, b"program"),
    ]);
    assert_eq!(unpacked(Tool::OpenTofu, &tar, LIMIT), Ok(b"program".to_vec()));
    let tar = tar_gz(&[("./tofu", REGULAR, b"program")]);
    assert_eq!(unpacked(Tool::OpenTofu, &tar, LIMIT), Ok(b"program".to_vec()));
    let zip = zip(&[("LICENSE.txt", 0o644, b"BUSL"), ("terraform", 0o755, b"program")]);
    assert_eq!(unpacked(Tool::Terraform, &zip, LIMIT), Ok(b"program".to_vec()));
}

#[test]
fn paths_that_lead_elsewhere_condemn_the_archive() {
    for path in ["../evil", "/etc/evil", "a/../../evil", "a\\..\\evil", "tofu/../../evil"] {
        let tar = tar_gz(&[("tofu", REGULAR, b"program"), (path, REGULAR, b"evil")]);
        assert_eq!(unpacked(Tool::OpenTofu, &tar, LIMIT), Err("archive_unsafe"), "{path}");
        let zip = zip(&[("terraform", 0o755, b"program"), (path, 0o644, b"evil")]);
        assert_eq!(unpacked(Tool::Terraform, &zip, LIMIT), Err("archive_unsafe"), "{path}");
    }
}

#[test]
fn links_and_devices_condemn_the_archive() {
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Fifo, tar::EntryType::Char] {
        for path in ["tofu", "other"] {
            let tar = tar_gz(&[(path, kind, b""), ("tofu", REGULAR, b"program")]);
            assert_eq!(unpacked(Tool::OpenTofu, &tar, LIMIT), Err("archive_unsafe"), "{kind:?}");
        }
    }
    let zip = zip(&[("other", 0o120_777, b"/etc/passwd"), ("terraform", 0o755, b"program")]);
    assert_eq!(unpacked(Tool::Terraform, &zip, LIMIT), Err("archive_unsafe"));
}

/// Where the two sizes of an entry differ, readers that believe different ones see different entries: what one of them
/// takes for the content of a file is a program to the other.
#[test]
fn a_second_size_hides_no_program() {
    let mut smuggled = tar::Header::new_gnu();
    smuggled.set_path("tofu").unwrap();
    smuggled.set_size(4);
    smuggled.set_mode(0o755);
    smuggled.set_cksum();
    let mut hidden = smuggled.as_bytes().to_vec();
    hidden.extend_from_slice(b"evil");
    hidden.resize(1024, 0);
    for stated in [0, 512] {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("size", hidden.len().to_string().as_bytes())]).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_path("LICENSE").unwrap();
        header.set_size(stated);
        header.set_mode(0o644);
        header.set_cksum();
        // Written by hand: the library would not put down two sizes.
        builder.get_mut().extend_from_slice(header.as_bytes());
        builder.get_mut().extend_from_slice(&hidden);
        let mut program = tar::Header::new_gnu();
        program.set_size(7);
        program.set_mode(0o755);
        builder.append_data(&mut program, "tofu", &b"program"[..]).unwrap();
        let tar = gzip(&builder.into_inner().unwrap());
        let found = unpacked(Tool::OpenTofu, &tar, LIMIT);
        assert!(found.is_err() || found == Ok(b"program".to_vec()), "{stated}: {found:?}");
    }
}

#[test]
fn a_second_program_condemns_the_archive() {
    let tar = tar_gz(&[("tofu", REGULAR, b"program"), ("./tofu", REGULAR, b"other")]);
    assert_eq!(unpacked(Tool::OpenTofu, &tar, LIMIT), Err("archive_unsafe"));
}

#[test]
fn a_program_elsewhere_is_not_the_program() {
    let tar = tar_gz(&[("bin/tofu", REGULAR, b"program"), ("terraform", REGULAR, b"other")]);
    assert_eq!(unpacked(Tool::OpenTofu, &tar, LIMIT), Err("archive_broken"));
    let zip = zip(&[("tofu", 0o755, b"other")]);
    assert_eq!(unpacked(Tool::Terraform, &zip, LIMIT), Err("archive_broken"));
}

#[test]
fn bombs_are_not_inflated() {
    let zeros = vec![0; 4 << 20];
    for name in ["tofu", "LICENSE"] {
        let tar = tar_gz(&[(name, REGULAR, &zeros), ("tofu", REGULAR, b"program")]);
        assert!(tar.len() < 100_000, "the archive itself is small");
        assert_eq!(unpacked(Tool::OpenTofu, &tar, LIMIT), Err("archive_too_large"), "{name}");
    }
    let zip = zip(&[("terraform", 0o755, &zeros)]);
    assert_eq!(unpacked(Tool::Terraform, &zip, LIMIT), Err("archive_too_large"));
    assert_eq!(unpacked(Tool::Terraform, &zip, 8 << 20).map(|program| program.len()), Ok(zeros.len()));
}

#[test]
fn a_million_empty_files_are_not_read() {
    let names: Vec<String> = (0..=MAX_ENTRIES).map(|index| format!("f{index}")).collect();
    let entries: Vec<(&str, tar::EntryType, &[u8])> =
        names.iter().map(|name| (name.as_str(), REGULAR, &b""[..])).collect();
    assert_eq!(unpacked(Tool::OpenTofu, &tar_gz(&entries), 64 << 20), Err("archive_too_large"));
}

#[test]
fn broken_archives_are_called_broken() {
    for rubbish in [&b""[..], b"<html>", &[0x1f, 0x8b, 8, 0]] {
        assert_eq!(unpacked(Tool::OpenTofu, rubbish, LIMIT), Err("archive_broken"));
        assert_eq!(unpacked(Tool::Terraform, rubbish, LIMIT), Err("archive_broken"));
    }
    let noise: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let whole = tar_gz(&[("tofu", REGULAR, &noise)]);
    assert_eq!(unpacked(Tool::OpenTofu, &whole[..whole.len() / 2], LIMIT), Err("archive_broken"));
}
