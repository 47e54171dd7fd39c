//! git's own program for web servers, called as a web server calls it (RFC 3875).

use std::io;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::http::request::Parts;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Answers for the repository below `root` that the path of the request names. Only a `user` may push.
pub(crate) async fn answer(
    root: &Path,
    head: &Parts,
    body: Bytes,
    user: Option<&str>,
) -> io::Result<Response<Full<Bytes>>> {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    if let Some(user) = user {
        command.env("REMOTE_USER", user);
    }
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let feeding = async move { stdin.write_all(&body).await };
    let (fed, output) = tokio::join!(feeding, child.wait_with_output());
    // Git may answer without reading all.
    fed.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
    from_cgi(&output?.stdout).ok_or_else(|| io::Error::other("no answer"))
}

/// Header lines, an empty line, the body; the status is a header of its own.
fn from_cgi(output: &[u8]) -> Option<Response<Full<Bytes>>> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&output[..end]).ok()?, &output[end + 4..]);
    let mut answer = Response::builder();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        answer = match name {
            "Status" => answer.status(value.split(' ').next()?),
            _ => answer.header(name, value),
        };
    }
    answer.body(Full::from(body.to_vec())).ok()
}
