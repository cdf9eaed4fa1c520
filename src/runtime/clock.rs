//! The shell's clock: the only place that turns time into [`Mono`].

use crate::supervisor::Mono;
use crate::sys;

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
