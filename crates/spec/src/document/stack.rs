//! Room for parsers that recurse.

use super::SyntaxError;

/// Runs `parse` on a thread with a stack of `bytes`.
///
/// Parsers of other crates bound how deep they recurse, but not so that it fits every thread: a worker of an async
/// runtime has 2 MiB. A stack costs address space only, until it is used.
pub(super) fn with_stack<T: Send>(
    bytes: usize,
    parse: impl FnOnce() -> Result<T, SyntaxError> + Send,
) -> Result<T, SyntaxError> {
    let failed = |message: &str| SyntaxError { at: None, code: "unreadable", message: message.to_owned(), hint: None };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("parse".to_owned()).stack_size(bytes).spawn_scoped(scope, parse);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(parsed)) => parsed,
            Ok(Err(_)) => Err(failed("the parser failed on this text")),
            Err(error) => Err(failed(&format!("no thread could be started to parse it: {error}"))),
        }
    })
}
