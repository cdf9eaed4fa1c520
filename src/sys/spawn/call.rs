//! System calls made bare. libc's wrappers leave errno in the thread's own memory, which a child that shares init's memory
//! shares with init's thread: init would read its child's errors as its own.
#![expect(unsafe_code, reason = "the instruction that enters the kernel")]

/// What the kernel answered, or its errno.
pub(super) type Answer = Result<usize, i32>;

/// # Safety
/// Addresses among the arguments must be what this call expects. Arguments beyond those it takes are ignored.
#[inline(always)]
pub(super) unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> Answer {
    // SAFETY: the caller's promise.
    let result = unsafe { enter(number, arguments) };
    match result {
        // The kernel's own range for errors: include/linux/err.h, MAX_ERRNO.
        -4095..=-1 => Err(i32::try_from(result.wrapping_neg()).unwrap_or(libc::EINVAL)),
        _ => Ok(result.cast_unsigned()),
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn enter(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result;
    // SAFETY: syscall(2), "Architecture calling conventions": rcx and r11 are overwritten, the stack is not used.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn enter(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result;
    // SAFETY: syscall(2), "Architecture calling conventions": nothing but x0 is changed, the stack is not used.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e,
            options(nostack),
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_errors_are_told_apart_and_errno_stays() {
        // SAFETY: getppid takes nothing, close takes a number that nobody has.
        unsafe {
            *libc::__errno_location() = 77;
            assert_eq!(call(libc::SYS_getppid, [0; 5]), Ok(libc::getppid() as usize));
            assert_eq!(call(libc::SYS_close, [usize::MAX, 0, 0, 0, 0]), Err(libc::EBADF));
            assert_eq!(*libc::__errno_location(), 77);
        }
    }
}
