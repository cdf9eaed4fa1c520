//! The allocator of the static binary: dlmalloc under a flag.
//!
//! dlmalloc's own global one takes a mutex of the C library for each call, which is an eighth of all that init executes
//! until its first service runs. init has one thread, and rarely a second one for a file that is slow.
#![expect(unsafe_code, reason = "an allocator deals in raw memory")]

use super::memory::page;
use dlmalloc::Dlmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

/// Memory for the whole process, from any thread: all of these are one.
pub struct Allocator;

struct Heap {
    taken: AtomicBool,
    /// The kernel has nothing more for now. Changes while `taken` alone.
    closed: AtomicBool,
    dlmalloc: UnsafeCell<Dlmalloc<Kernel>>,
}

static HEAP: Heap = Heap {
    taken: AtomicBool::new(false),
    closed: AtomicBool::new(false),
    dlmalloc: UnsafeCell::new(Dlmalloc::new_with_allocator(Kernel)),
};

// SAFETY: `dlmalloc` is reached through `with` alone, which lets one thread in at a time.
unsafe impl Sync for Heap {}

impl Heap {
    #[inline]
    fn with<T>(&self, work: impl FnOnce(&mut Dlmalloc<Kernel>) -> T) -> T {
        // Whoever has it is done soon, or not running: then it needs this processor.
        while self.taken.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::thread::yield_now();
        }
        // SAFETY: the flag is this thread's, and `work` cannot come back here: dlmalloc asks the kernel alone for memory.
        let done = work(unsafe { &mut *self.dlmalloc.get() });
        self.taken.store(false, Ordering::Release);
        done
    }
}

/// What is free, while [`give_back`] has it.
struct Hole {
    next: Option<NonNull<Hole>>,
    size: usize,
}

/// Lets the kernel have the whole pages between blocks that are in use; the heap keeps their addresses. What a boot has read
/// and made of it is freed in pieces, which lie between what stays.
pub fn give_back() {
    let page = page();
    HEAP.with(|dlmalloc| {
        HEAP.closed.store(true, Ordering::Relaxed);
        let mut holes = None;
        for size in (2..=LARGEST_HOLE).rev().map(|pages| pages.saturating_mul(page)) {
            // SAFETY: any size and this alignment are valid.
            while let Some(block) = NonNull::new(unsafe { dlmalloc.malloc(size, align_of::<Hole>()) }) {
                let hole = block.cast::<Hole>();
                let (start, end) = (block.addr().get(), block.addr().get().saturating_add(size));
                let first = start.saturating_add(size_of::<Hole>()).next_multiple_of(page);
                let length = (end & !page.saturating_sub(1)).saturating_sub(first);
                // SAFETY: the block is as large and as aligned as asked for and nobody else's; the pages are within it, behind
                // what is written at its start. A refusal leaves them as they are.
                unsafe {
                    hole.write(Hole { next: holes, size });
                    libc::madvise(
                        block.as_ptr().byte_add(first.saturating_sub(start)).cast(),
                        length,
                        libc::MADV_DONTNEED,
                    );
                }
                holes = Some(hole);
            }
        }
        while let Some(hole) = holes {
            // SAFETY: written above, and freed once, with the size and alignment that it was asked for with.
            holes = unsafe {
                let Hole { next, size } = hole.read();
                dlmalloc.free(hole.as_ptr().cast(), size, align_of::<Hole>());
                next
            };
        }
        HEAP.closed.store(false, Ordering::Relaxed);
    });
}

/// Holes are asked for from so many pages down to two, of which one is whole.
const LARGEST_HOLE: usize = 256;
/// What dlmalloc counts in. The kernel's own pages may be larger.
const PAGE: usize = 4096;

/// Where the heap's memory comes from. dlmalloc's own way is this one, but always open.
struct Kernel;

// SAFETY: a mapping is nobody else's, as large as asked for, and zero.
unsafe impl dlmalloc::Allocator for Kernel {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if HEAP.closed.load(Ordering::Relaxed) {
            return (ptr::null_mut(), 0, 0);
        }
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, wherever there is room.
        match unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) } {
            libc::MAP_FAILED => (ptr::null_mut(), 0, 0),
            start => (start.cast(), size, 0),
        }
    }

    /// Never asked: it is for blocks with a mapping each, which this port of dlmalloc does not make.
    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, start: *mut u8, old: usize, new: usize) -> bool {
        // SAFETY: what lies behind `new` is dlmalloc's, and not in use.
        unsafe { libc::munmap(start.byte_add(new).cast(), old.saturating_sub(new)) == 0 }
    }

    fn free(&self, start: *mut u8, size: usize) -> bool {
        // SAFETY: all of it is dlmalloc's, and not in use.
        unsafe { libc::munmap(start.cast(), size) == 0 }
    }

    fn can_release_part(&self, _: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

// SAFETY: each method hands its caller's promises on to dlmalloc, whose blocks are as large and as aligned as asked for,
// and its null where there is no memory. None of them panics.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised by the caller.
        HEAP.with(|dlmalloc| unsafe { dlmalloc.malloc(layout.size(), layout.align()) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised by the caller.
        HEAP.with(|dlmalloc| unsafe { dlmalloc.calloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        HEAP.with(|dlmalloc| unsafe { dlmalloc.free(block, layout.size(), layout.align()) });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as promised by the caller.
        HEAP.with(|dlmalloc| unsafe { dlmalloc.realloc(block, layout.size(), layout.align(), size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// There is one heap: what is looked at in it must not be somebody else's by then.
    static ALONE: Mutex<()> = Mutex::new(());

    #[test]
    fn threads_do_not_get_each_others_memory() {
        let _alone = ALONE.lock().unwrap();
        let work = |seed: u8| {
            let mut blocks: Vec<(*mut u8, Layout)> = Vec::new();
            for round in 0..4000_usize {
                let layout = Layout::from_size_align(1 + (round * 37) % 5000, 1 << (round % 8)).unwrap();
                // SAFETY: the layout is not empty, each block is written and read within its size, and freed once with
                // the layout that it has by then.
                unsafe {
                    let mut block = Allocator.alloc(layout);
                    assert_eq!(block.addr() % layout.align(), 0);
                    block.write_bytes(seed, layout.size());
                    let mut layout = layout;
                    if round % 3 == 0 {
                        block = Allocator.realloc(block, layout, layout.size() * 2);
                        let grown = Layout::from_size_align(layout.size() * 2, layout.align()).unwrap();
                        block.add(layout.size()).write_bytes(seed, layout.size());
                        layout = grown;
                    }
                    blocks.push((block, layout));
                    if round % 2 == 1 {
                        let (block, layout) = blocks.swap_remove(round % blocks.len());
                        let bytes = std::slice::from_raw_parts(block, layout.size());
                        assert!(bytes.iter().all(|byte| *byte == seed));
                        Allocator.dealloc(block, layout);
                    }
                }
            }
            for (block, layout) in blocks {
                // SAFETY: as above.
                unsafe { Allocator.dealloc(block, layout) };
            }
        };
        std::thread::scope(|scope| {
            for seed in 1..=4 {
                scope.spawn(move || work(seed));
            }
        });
    }

    #[test]
    fn what_is_between_blocks_goes_and_the_blocks_stay() {
        let _alone = ALONE.lock().unwrap();
        let (page, size) = (page(), 3 * page());
        let layout = Layout::from_size_align(size, 16).unwrap();
        let resident = |block: *mut u8| {
            let start = (block.addr() + size_of::<Hole>()).next_multiple_of(page);
            let mut here = [0_u8];
            // SAFETY: one page of the heap, and a byte for it.
            let asked = unsafe { libc::mincore(ptr::without_provenance_mut(start), page, here.as_mut_ptr()) };
            assert_eq!(asked, 0);
            here[0] & 1 == 1
        };
        // SAFETY: the layout is not empty, each block is written and read within its size, and freed once.
        unsafe {
            let blocks: Vec<*mut u8> = (0..64).map(|_| Allocator.alloc(layout)).collect();
            blocks.iter().for_each(|block| block.write_bytes(7, size));
            let (gone, kept): (Vec<_>, Vec<_>) = blocks.iter().enumerate().partition(|(n, _)| n % 2 == 0);
            gone.iter().for_each(|(_, block)| Allocator.dealloc(**block, layout));
            give_back();
            assert!(gone.iter().all(|(_, block)| !resident(**block)));
            assert!(kept.iter().all(|(_, block)| resident(**block)));
            for (_, block) in &kept {
                assert!(std::slice::from_raw_parts(**block, size).iter().all(|byte| *byte == 7));
            }
            // The heap is open again, and what is given out anew is whole.
            let block = Allocator.alloc_zeroed(Layout::from_size_align(1 << 20, 16).unwrap());
            assert!(std::slice::from_raw_parts(block, 1 << 20).iter().all(|byte| *byte == 0));
            Allocator.dealloc(block, Layout::from_size_align(1 << 20, 16).unwrap());
            kept.iter().for_each(|(_, block)| Allocator.dealloc(**block, layout));
        }
    }

    #[test]
    fn zeroed_memory_is_zero() {
        let _alone = ALONE.lock().unwrap();
        let layout = Layout::from_size_align(3000, 16).unwrap();
        for _ in 0..50 {
            // SAFETY: not empty, read and written within its size, freed once.
            unsafe {
                let block = Allocator.alloc_zeroed(layout);
                assert!(std::slice::from_raw_parts(block, 3000).iter().all(|byte| *byte == 0));
                block.write_bytes(7, 3000);
                Allocator.dealloc(block, layout);
            }
        }
    }
}
