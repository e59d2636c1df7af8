//! Random generators. A NULL generator means the default one of the process.

use super::*;
use crate::random::Generator;
use std::sync::Mutex;

unsafe fn with<R>(g: *const rt_generator, f: impl FnOnce(&mut Generator) -> R) -> Result<R> {
    crate::random::with(generator(g), f).ok_or_else(|| err!(Value, "this thread is drawing from the generator"))
}

/// A generator at the start of the stream of `seed`.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_generator_new(seed: u64, out: *mut *mut rt_generator) -> rt_status {
    guard(|| {
        need_out(out)?;
        *out = Box::into_raw(Box::<GeneratorHandle>::new(Mutex::new(Generator::new(seed)))).cast();
        Ok(())
    })
}
/// Releases a generator; NULL is accepted.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_generator_free(generator: *mut rt_generator) {
    if !generator.is_null() {
        drop(Box::from_raw(generator.cast::<GeneratorHandle>()));
    }
}
/// Starts the stream of `seed`.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_manual_seed(generator: *mut rt_generator, seed: u64) {
    crate::random::manual_seed(self::generator(generator), seed);
}
/// Starts a stream from a seed that nobody can foresee; returns the seed.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_seed(generator: *mut rt_generator) -> u64 {
    crate::random::seed(self::generator(generator))
}
/// The seed of the present stream.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_initial_seed(generator: *const rt_generator) -> u64 {
    crate::random::initial_seed(self::generator(generator))
}
/// Size of a generator's state in bytes.
pub const RT_GENERATOR_STATE_BYTES: usize = 5056;
/// Copies the state (`RT_GENERATOR_STATE_BYTES` bytes, PyTorch's layout) to `data`.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_generator_get_state(
    generator: *const rt_generator,
    data: *mut u8,
    nbytes: usize,
) -> rt_status {
    guard(|| {
        need_out(data)?;
        let state = with(generator, |g| g.get_state())?;
        if nbytes < state.len() {
            bail!(Value, "get_state: {} bytes are wanted, there is room for {nbytes}", state.len());
        }
        std::ptr::copy_nonoverlapping(state.as_ptr(), data, state.len());
        Ok(())
    })
}
/// Restores a state that `rt_generator_get_state` gave.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_generator_set_state(
    generator: *mut rt_generator,
    data: *const u8,
    nbytes: usize,
) -> rt_status {
    guard(|| {
        if data.is_null() {
            bail!(Null, "set_state: data is NULL");
        }
        with(generator, |g| g.set_state(std::slice::from_raw_parts(data, nbytes)))?
            .map_err(|e| err!(Value, "set_state: {e}"))
    })
}
