//! The allocator of the static binary: dlmalloc under a flag.
//!
//! dlmalloc's own global one takes a mutex of the C library for each call, which is an eighth of all that init executes
//! until its first service runs. init has one thread, and rarely a second one for a file that is slow.
#![expect(unsafe_code, reason = "an allocator deals in raw memory")]

use dlmalloc::Dlmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

/// Memory for the whole process, from any thread.
pub struct Allocator {
    taken: AtomicBool,
    heap: UnsafeCell<Dlmalloc>,
}

// SAFETY: `heap` is reached through `with` alone, which lets one thread in at a time.
unsafe impl Sync for Allocator {}

impl Allocator {
    #[expect(clippy::new_without_default, reason = "made once, in a static")]
    pub const fn new() -> Self {
        Self { taken: AtomicBool::new(false), heap: UnsafeCell::new(Dlmalloc::new()) }
    }

    #[inline]
    fn with<T>(&self, work: impl FnOnce(&mut Dlmalloc) -> T) -> T {
        // Whoever has it is done in a microsecond, or not running: then it needs this processor.
        while self.taken.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::thread::yield_now();
        }
        // SAFETY: the flag is this thread's, and `work` cannot come back here: dlmalloc asks the kernel alone for memory.
        let done = work(unsafe { &mut *self.heap.get() });
        self.taken.store(false, Ordering::Release);
        done
    }
}

// SAFETY: each method hands its caller's promises on to dlmalloc, whose blocks are as large and as aligned as asked for,
// and its null where there is no memory. None of them panics.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised by the caller.
        self.with(|heap| unsafe { heap.malloc(layout.size(), layout.align()) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised by the caller.
        self.with(|heap| unsafe { heap.calloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        self.with(|heap| unsafe { heap.free(block, layout.size(), layout.align()) });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as promised by the caller.
        self.with(|heap| unsafe { heap.realloc(block, layout.size(), layout.align(), size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_do_not_get_each_others_memory() {
        static SHARED: Allocator = Allocator::new();
        let work = |seed: u8| {
            let mut blocks: Vec<(*mut u8, Layout)> = Vec::new();
            for round in 0..4000_usize {
                let layout = Layout::from_size_align(1 + (round * 37) % 5000, 1 << (round % 8)).unwrap();
                // SAFETY: the layout is not empty, each block is written and read within its size, and freed once with
                // the layout that it has by then.
                unsafe {
                    let mut block = SHARED.alloc(layout);
                    assert_eq!(block.addr() % layout.align(), 0);
                    block.write_bytes(seed, layout.size());
                    let mut layout = layout;
                    if round % 3 == 0 {
                        block = SHARED.realloc(block, layout, layout.size() * 2);
                        let grown = Layout::from_size_align(layout.size() * 2, layout.align()).unwrap();
                        block.add(layout.size()).write_bytes(seed, layout.size());
                        layout = grown;
                    }
                    blocks.push((block, layout));
                    if round % 2 == 1 {
                        let (block, layout) = blocks.swap_remove(round % blocks.len());
                        let bytes = std::slice::from_raw_parts(block, layout.size());
                        assert!(bytes.iter().all(|byte| *byte == seed));
                        SHARED.dealloc(block, layout);
                    }
                }
            }
            for (block, layout) in blocks {
                // SAFETY: as above.
                unsafe { SHARED.dealloc(block, layout) };
            }
        };
        std::thread::scope(|scope| {
            for seed in 1..=4 {
                scope.spawn(move || work(seed));
            }
        });
    }

    #[test]
    fn zeroed_memory_is_zero() {
        static OWN: Allocator = Allocator::new();
        let layout = Layout::from_size_align(3000, 16).unwrap();
        for _ in 0..50 {
            // SAFETY: not empty, read and written within its size, freed once.
            unsafe {
                let block = OWN.alloc_zeroed(layout);
                assert!(std::slice::from_raw_parts(block, 3000).iter().all(|byte| *byte == 0));
                block.write_bytes(7, 3000);
                OWN.dealloc(block, layout);
            }
        }
    }
}
