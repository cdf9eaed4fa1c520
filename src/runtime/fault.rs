//! Panics: faults of init itself, which none of its lints could rule out.
//!
//! One in a task costs that task's work at hand, one in the loop ends the container in order; see the callers of
//! [`caught`]. The hook tells of each, once.

use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// There was a panic, and the hook has told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// From now on a panic is one line of the log.
pub fn tell_all() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("{}: please report this line", words(panic.location(), panic.payload()));
    }));
}

/// Where it was, and its text where that was fixed when init was built. One that was made up on the way may show what
/// it was about: `byte index 3 is not a char boundary; it is inside … of` is followed by the whole string.
fn words(location: Option<&Location<'_>>, payload: &(dyn Any + Send)) -> String {
    let place = location.map(|place| format!(" at {}:{}", place.file(), place.line()));
    let text = payload.downcast_ref::<&'static str>().map(|text| format!(": {text}"));
    format!("a fault in init itself{}{}", place.unwrap_or_default(), text.unwrap_or_default())
}

/// Runs the future; a panic in it becomes an error. It stays where it is pinned: as an argument of its own it would be in
/// the caller's memory twice.
///
/// # Errors
/// [`Fault`]. What the future worked on may be half changed.
pub fn caught<F: Future>(mut future: Pin<&mut F>) -> impl Future<Output = Result<F::Output, Fault>> {
    std::future::poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Fault)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    #[test]
    fn a_panic_is_caught_at_the_edge() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result = runtime.block_on(caught(pin!(async {
            tokio::task::yield_now().await;
            assert_eq!(1 + 1, 3, "sums");
        })));
        assert_eq!(result, Err(Fault));
        assert_eq!(runtime.block_on(caught(pin!(async { 7 }))), Ok(7));
    }

    #[test]
    fn a_text_that_was_made_up_on_the_way_is_not_told() {
        let here = Location::caller();
        let fixed = words(Some(here), &"the queue is gone");
        assert!(fixed.contains("fault.rs:") && fixed.ends_with(": the queue is gone"), "{fixed}");
        let secret = words(Some(here), &"APP_KEY=S3CR3T".to_owned());
        assert!(secret.contains("fault.rs:") && !secret.contains("S3CR3T"), "{secret}");
    }
}
