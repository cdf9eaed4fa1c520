//! The shell's clock: the only place that turns time into [`Mono`].

use crate::supervisor::{HELD_UP, Mono};
use crate::sys;
use std::pin::pin;
use std::time::Duration;

/// This moment.
pub fn now() -> Mono {
    Mono::new(sys::clock::monotonic())
}

/// Waits until `deadline`; for ever without one.
pub async fn until(deadline: Option<Mono>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.since(now())).await,
        None => std::future::pending().await,
    }
}

/// The deadline has passed by so much that init itself was held up, and with it whoever was to keep it: the container was
/// frozen (docker pause), or the machine does not get round to it.
pub fn slept_through(deadline: Mono) -> bool {
    now().since(deadline) > HELD_UP
}

/// Waits for `future` for as long as `limit`, and again where init was held up meanwhile; `None`: in vain.
pub async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    loop {
        let began = now();
        match tokio::time::timeout(limit, future.as_mut()).await {
            Ok(output) => return Some(output),
            Err(_) if slept_through(began.after(limit)) => {}
            Err(_) => return None,
        }
    }
}
