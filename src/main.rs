//! `init`: a shim over the library.

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: php_init::sys::allocator::Allocator = php_init::sys::allocator::Allocator;

fn main() -> std::process::ExitCode {
    php_init::cli::main()
}
