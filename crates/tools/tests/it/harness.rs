//! A mirror with releases on it, a directory to install into, and a PATH of our own.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

use piton_tools::{Config, Error, Installed, Manager, Mirror, PerTool, Platform, Progress, Tool, Version};
use sha2::{Digest, Sha256};

use crate::key::SigningKey;
use crate::server::{Answer, Server};

/// What the programs in test releases consist of.
pub fn program(tool: Tool, version: &str) -> Vec<u8> {
    format!("#!/bin/sh\necho '{{\"terraform_version\": \"{version}\"}}' # {tool}\n").into_bytes()
}

pub fn version(text: &str) -> Version {
    text.parse().unwrap()
}

pub fn ignore(_: Progress) {}

pub struct Harness {
    pub server: Server,
    pub key: &'static SigningKey,
    pub dir: tempfile::TempDir,
}

/// Where a release's files are served.
pub struct Paths {
    pub archive: String,
    pub sums: String,
    pub signature: String,
    pub archive_name: String,
}

pub fn paths(tool: Tool, version: &str) -> Paths {
    let (directory, extension, signature) = match tool {
        Tool::OpenTofu => (format!("/tofu/v{version}"), "tar.gz", "gpgsig"),
        Tool::Terraform => (format!("/terraform/{version}"), "zip", "sig"),
    };
    let archive_name = format!("{tool}_{version}_{}.{extension}", Platform::current());
    let sums = format!("{directory}/{tool}_{version}_SHA256SUMS");
    Paths {
        archive: format!("{directory}/{archive_name}"),
        signature: format!("{sums}.{signature}"),
        sums,
        archive_name,
    }
}

pub fn index_path(tool: Tool) -> &'static str {
    match tool {
        Tool::OpenTofu => "/tofu/api.json",
        Tool::Terraform => "/terraform/index.json",
    }
}

pub fn tar_gz(files: &[(&str, &[u8])]) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(encoder);
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        writer.start_file(*path, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub fn archive(tool: Tool, files: &[(&str, &[u8])]) -> Vec<u8> {
    match tool {
        Tool::OpenTofu => tar_gz(files),
        Tool::Terraform => zip(files),
    }
}

impl Harness {
    pub async fn new() -> Harness {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::ring::default_provider().install_default().unwrap();
        });
        Harness { server: Server::start().await, key: SigningKey::shared(), dir: tempfile::tempdir().unwrap() }
    }

    /// A mirror with these releases of both tools.
    pub async fn with_releases(versions: &[&str]) -> Harness {
        let harness = Harness::new().await;
        for tool in Tool::ALL {
            harness.publish_index(tool, versions);
            for version in versions {
                let program = program(tool, version);
                harness.publish(tool, version, &archive(tool, &[("LICENSE", b"free"), (tool.program(), &program)]));
            }
        }
        harness
    }

    pub fn publish_index(&self, tool: Tool, versions: &[&str]) {
        let index = match tool {
            Tool::OpenTofu => {
                let releases: Vec<_> = versions.iter().map(|version| serde_json::json!({"id": version})).collect();
                serde_json::json!({"versions": releases})
            }
            Tool::Terraform => {
                let releases: serde_json::Map<_, _> =
                    versions.iter().map(|version| ((*version).to_owned(), serde_json::json!({"builds": []}))).collect();
                serde_json::json!({"name": "terraform", "versions": releases})
            }
        };
        self.server.set(index_path(tool), Answer::File(index.to_string().into_bytes()));
    }

    /// Puts an archive up with its sums and the test key's signature, and gives the sums.
    pub fn publish(&self, tool: Tool, version: &str, archive: &[u8]) -> String {
        let paths = paths(tool, version);
        let sums = format!(
            "{}  {tool}_{version}_plan9_mips.zip\n{}  {}\n",
            "0".repeat(64),
            hex::encode(Sha256::digest(archive)),
            paths.archive_name
        );
        self.publish_sums(tool, version, &sums);
        self.server.set(&paths.archive, Answer::File(archive.to_vec()));
        sums
    }

    pub fn publish_sums(&self, tool: Tool, version: &str, sums: &str) {
        let paths = paths(tool, version);
        self.server.set(&paths.signature, Answer::File(self.key.sign(sums.as_bytes())));
        self.server.set(&paths.sums, Answer::File(sums.as_bytes().to_vec()));
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn tools_dir(&self) -> PathBuf {
        self.at("tools")
    }

    pub fn config(&self) -> Config {
        let mut config = Config::new(self.tools_dir());
        config.mirror = Mirror::at(self.server.base(), None).unwrap();
        config.keys = PerTool::from_fn(|_| self.key.public());
        config.path_env = self.at("bin").into();
        config
    }

    pub fn manager(&self) -> Manager {
        Manager::new(self.config())
    }

    pub async fn install(&self, tool: Tool, text: &str) -> Result<Installed, Error> {
        self.manager().install(tool, &version(text), ignore).await
    }

    /// Writes an executable file into the directory that is PATH.
    pub fn put_on_path(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at("bin").join(name);
        fs::create_dir_all(self.at("bin")).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Writes a file of the module in `code`.
    pub fn write_code(&self, name: &str, text: &str) -> PathBuf {
        let dir = self.at("code");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(name), text).unwrap();
        dir
    }

    /// Asserts that a failed installation left nothing but its lock.
    pub fn assert_nothing_installed(&self) {
        let mut left = Vec::new();
        list_files(&self.tools_dir(), &mut left);
        left.retain(|path| path.extension().is_none_or(|extension| extension != "lock"));
        assert_eq!(left, Vec::<PathBuf>::new());
    }
}

fn list_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list_files(&path, into) } else { into.push(path) }
    }
}
