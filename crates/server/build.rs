//! Puts the pages about errors into the program.

use std::error::Error;
use std::io::{Write, stdout};
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../docs/errors").canonicalize()?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(&directory)? {
        let path = entry?.path();
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        if is_page && path.file_stem().is_some_and(|stem| stem != "README") {
            paths.push(path);
        }
    }
    paths.sort();
    let entries = paths.iter().map(|path| {
        let code = path.file_stem().unwrap_or_default().to_string_lossy();
        format!("    ({code:?}, include_str!({:?})),\n", path.display().to_string())
    });
    let text = format!("&[\n{}]\n", entries.collect::<String>());
    fs::write(Path::new(&env::var("OUT_DIR")?).join("pages.rs"), text)?;
    // Of a directory, its list of files is watched too; what is in them is watched by whoever includes them.
    writeln!(stdout(), "cargo::rerun-if-changed={}", directory.display())?;
    Ok(())
}
