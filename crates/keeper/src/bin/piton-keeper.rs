//! The keeper as a program of its own: `piton-keeper --dir DIR`, the same as the hidden command `piton keeper --dir
//! DIR`.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use piton_keeper::EX_TEMPFAIL;

/// As in `sysexits.h`: wrong arguments.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    if let Some(code) = piton_keeper::launch_if_asked() {
        return code;
    }
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // A keeper that was the other program goes on as this one with the arguments it has.
    if arguments.first().is_some_and(|verb| verb == "keeper") {
        arguments.remove(0);
    }
    let [flag, dir] = arguments.as_slice() else { return complain("usage: piton-keeper --dir DIR", EX_USAGE) };
    if flag != "--dir" {
        return complain("usage: piton-keeper --dir DIR", EX_USAGE);
    }
    match piton_keeper::run(Path::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ piton_keeper::Error::Held { .. }) => complain(&error.to_string(), EX_TEMPFAIL),
        Err(error) => complain(&error.to_string(), 1),
    }
}

fn complain(message: &str, code: u8) -> ExitCode {
    // Nobody listens if this fails; the code still says it.
    let _ = writeln!(std::io::stderr(), "piton-keeper: {message}");
    ExitCode::from(code)
}
