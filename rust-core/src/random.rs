//! L0: random numbers. [`Generator`] is a Mersenne Twister (mt19937, Matsumoto and Nishimura 1998) whose fills draw
//! and transform exactly as PyTorch's CPU generator does, so equal seeds give equal tensors.
//!
//! A fill writes a slice in order. The draws behind one element:
//!
//! | fill | draws | value |
//! |---|---|---|
//! | uniform f32, f16, bf16 | one 32-bit word | low 24 bits / 2^24, in f32 |
//! | uniform f64, and everything below unless said | two words, high one first | low 53 bits / 2^53 |
//! | normal, 16 elements or more | one uniform per element | Box-Muller by blocks, see [`Generator::normal_f32`] |
//! | normal, fewer than 16 | two f64 uniforms per pair | Box-Muller in f64, the second of the pair is kept for later |
//! | random_from_to | one word, or two if the range has 2^28 values or more | word mod range |
//! | bernoulli with f32 probabilities | one word | 24-bit uniform < p |
//!
//! Fills for any element type take a closure that casts the computed value to that type.
//! Values that go through `ln`, `sin` and the like use the platform's libm in f64 and a fixed polynomial in f32.

use crate::memory::List;
use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, Once, OnceLock, RwLock};

const N: usize = 624;
const M: usize = 397;
/// Elements drawn at a time, a multiple of 16. Their words live on the stack.
const CHUNK: usize = 256;
const MASK53: u64 = (1 << 53) - 1;
const INV24: f32 = 1.0 / (1u32 << 24) as f32;
const INV53: f64 = 1.0 / (1u64 << 53) as f64;

/// The seed of a new generator when none is given.
pub const DEFAULT_SEED: u64 = 67_280_421_310_721;
/// Bytes of a saved state, see [`Generator::get_state`].
pub const STATE_BYTES: usize = 5056;
/// From this size on `randperm` draws 64-bit words.
const RANDPERM_WIDE: usize = (u32::MAX / 20) as usize;
/// From this range on `random_from_to` draws 64-bit words.
const FROM_TO_WIDE: u64 = 1 << 28;

/// An mt19937 stream with PyTorch's distributions on top. Not synchronised; see [`default_generator`].
#[derive(Clone, Debug, PartialEq)]
pub struct Generator {
    seed: u64,
    /// Untwisted words; `state[next..next + left - 1]` are not used yet.
    state: [u32; N],
    left: u32,
    next: u32,
    /// Second value of the last f64 Box-Muller pair, waiting for the next scalar normal.
    next_normal_f64: Option<f64>,
    /// Kept for states exchanged with PyTorch; no fill here uses it.
    next_normal_f32: Option<f32>,
}

impl Default for Generator {
    fn default() -> Self {
        Self::new(DEFAULT_SEED)
    }
}

/// A generator that several owners may use.
pub type GeneratorHandle = Mutex<Generator>;

/// The process-wide generator, used where the caller names none. Starts from [`DEFAULT_SEED`].
pub fn default_generator() -> &'static Mutex<Generator> {
    static DEFAULT: OnceLock<Mutex<Generator>> = OnceLock::new();
    DEFAULT.get_or_init(Mutex::default)
}

/// Held for reading by whoever has a generator, and for writing by a thread that forks: the child finds all of them free.
static DRAWING: RwLock<()> = RwLock::new(());

thread_local! {
    /// The generator that this thread draws from at present, and its seed. Long fills ask the program whether to go on, which may
    /// then run a handler of signals, in the middle of a draw.
    static DRAWN: Cell<(*const GeneratorHandle, u64)> = const { Cell::new((std::ptr::null(), 0)) };
    /// A seed that such a handler wants for that generator.
    static RESEEDED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs `f` on a generator (none: the default one), which nobody else has for that time. None if this thread draws from it
/// already.
pub fn with<R>(generator: Option<&GeneratorHandle>, f: impl FnOnce(&mut Generator) -> R) -> Option<R> {
    struct Held<'a>(MutexGuard<'a, Generator>, (*const GeneratorHandle, u64));
    impl Drop for Held<'_> {
        fn drop(&mut self) {
            DRAWN.set(self.1);
            if self.1 .0.is_null() {
                if let Some(seed) = RESEEDED.take() {
                    self.0.manual_seed(seed);
                }
            }
        }
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        crate::fork::free_in_child!(
            std::sync::RwLockWriteGuard<'static, ()>,
            DRAWING.write().unwrap_or_else(|e| e.into_inner())
        )
    });
    let generator: &Mutex<Generator> = match generator {
        Some(g) => g,
        None => default_generator(),
    };
    let outer = DRAWN.get();
    if std::ptr::eq(outer.0, generator) {
        return None;
    }
    let _drawing = outer.0.is_null().then(|| DRAWING.read().unwrap_or_else(|e| e.into_inner()));
    // A local: a temporary here would outlive `_drawing`.
    let mut held = Held(generator.lock().unwrap_or_else(|e| e.into_inner()), outer);
    DRAWN.set((generator, held.0.seed));
    Some(f(&mut held.0))
}

/// [`Generator::manual_seed`]; of a generator that this thread draws from, as soon as it has.
pub fn manual_seed(generator: Option<&GeneratorHandle>, seed: u64) {
    if with(generator, |g| g.manual_seed(seed)).is_none() {
        RESEEDED.set(Some(seed));
    }
}

/// [`Generator::seed`]; of a generator that this thread draws from, as soon as it has.
pub fn seed(generator: Option<&GeneratorHandle>) -> u64 {
    let seed = fresh_seed();
    manual_seed(generator, seed);
    seed
}

/// [`Generator::initial_seed`].
pub fn initial_seed(generator: Option<&GeneratorHandle>) -> u64 {
    with(generator, |g| g.initial_seed()).unwrap_or_else(|| RESEEDED.get().unwrap_or(DRAWN.get().1))
}

/// 53 random bits (exact in an f64).
fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library's per-process hash keys come from the operating system's entropy.
    std::collections::hash_map::RandomState::new().build_hasher().finish() & MASK53
}

/// New words. After every some million of them the program is asked whether to go on: then the generator is as between two draws.
fn renew(state: &mut [u32; N]) {
    thread_local!(static TIMES: Cell<u32> = const { Cell::new(0) });
    TIMES.set(TIMES.get().wrapping_add(1));
    if TIMES.get().is_multiple_of(4096) {
        crate::parallel::poll();
    }
    // SAFETY: the kernels here are safe code; `simd_fn!` only adds CPU features that were detected.
    unsafe { twist(state) };
}

// Seeds and states
impl Generator {
    /// A generator at the start of the stream of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut state = [0; N];
        state[0] = seed as u32;
        for i in 1..N {
            let prev: u32 = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(prev ^ (prev >> 30)).wrapping_add(i as u32);
        }
        Self { seed, state, left: 1, next: 0, next_normal_f64: None, next_normal_f32: None }
    }

    /// Restarts at the beginning of the stream of `seed`. Only its low 32 bits choose the stream.
    pub fn manual_seed(&mut self, seed: u64) {
        *self = Self::new(seed);
    }

    /// The seed this stream started from.
    pub fn initial_seed(&self) -> u64 {
        self.seed
    }

    /// Restarts from a seed that nobody can foresee, and returns it.
    pub fn seed(&mut self) -> u64 {
        let seed = fresh_seed();
        self.manual_seed(seed);
        seed
    }

    /// The state in the 5056 bytes of PyTorch's CPU generator (little endian): seed u64, left i32, seeded i32,
    /// next u64, 624 state words as u64, normal x, y (the cached f64 sample) and rho as f64, cached flag i32,
    /// 4 bytes of padding, cached f32 sample, its flag as one byte, 3 bytes of padding.
    #[allow(clippy::disallowed_types, reason = "5056 bytes")]
    pub fn get_state(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(STATE_BYTES);
        out.extend(self.seed.to_le_bytes());
        out.extend(self.left.to_le_bytes());
        out.extend(1i32.to_le_bytes());
        out.extend(u64::from(self.next).to_le_bytes());
        out.extend(self.state.iter().flat_map(|&w| u64::from(w).to_le_bytes()));
        out.extend(0f64.to_le_bytes());
        out.extend(self.next_normal_f64.unwrap_or(0.0).to_le_bytes());
        out.extend(0f64.to_le_bytes());
        out.extend(u64::from(self.next_normal_f64.is_some()).to_le_bytes());
        out.extend(self.next_normal_f32.unwrap_or(0.0).to_le_bytes());
        out.extend(u32::from(self.next_normal_f32.is_some()).to_le_bytes());
        out
    }

    /// Continues from bytes of [`Generator::get_state`], or of PyTorch's. On an error nothing changes.
    pub fn set_state(&mut self, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() != STATE_BYTES {
            return Err(format!("set_state: expected a state of {STATE_BYTES} bytes, got {}", bytes.len()));
        }
        let u32_at = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
        let (left, seeded, next) = (u32_at(8), u32_at(12), u32_at(16));
        let n = N as u32;
        if seeded == 0 || !(1..=n).contains(&left) || next > n || next + left - 1 > n {
            return Err(format!("set_state: not a valid mt19937 state (seeded {seeded}, left {left}, next {next})"));
        }
        *self = Self {
            seed: u64_at(0),
            state: std::array::from_fn(|i| u32_at(24 + 8 * i)),
            left,
            next,
            next_normal_f64: (u32_at(5040) != 0).then(|| f64::from_bits(u64_at(5024))),
            next_normal_f32: (bytes[5052] != 0).then(|| f32::from_bits(u32_at(5048))),
        };
        Ok(())
    }
}

// Words
impl Generator {
    /// The next 32-bit word.
    pub fn random(&mut self) -> u32 {
        let mut word = [0];
        self.fill_u32(&mut word);
        word[0]
    }

    /// The next two words, the first one in the high half.
    pub fn random64(&mut self) -> u64 {
        let hi = self.random();
        join(hi, self.random())
    }

    /// The next `out.len()` words.
    pub fn fill_u32(&mut self, mut out: &mut [u32]) {
        while !out.is_empty() {
            if self.left == 1 {
                renew(&mut self.state);
                (self.left, self.next) = (N as u32 + 1, 0);
            }
            let start = self.next as usize;
            let count = out.len().min(self.left as usize - 1);
            let (head, tail) = out.split_at_mut(count);
            // SAFETY: as above.
            unsafe { temper(&self.state[start..start + count], head) };
            self.next += count as u32;
            self.left -= count as u32;
            out = tail;
        }
    }

    /// Fills `out` by chunks: `f` turns a chunk's words, `WORDS` per element, into its values.
    #[inline(always)]
    fn by_chunks<T, const WORDS: usize>(&mut self, out: &mut [T], mut f: impl FnMut(&[u32], &mut [T])) {
        let mut words = [0; 2 * CHUNK];
        for chunk in out.chunks_mut(CHUNK) {
            let words = &mut words[..WORDS * chunk.len()];
            self.fill_u32(words);
            f(words, chunk);
        }
    }

    /// One 32-bit word per element.
    #[inline(always)]
    fn each_u32<T>(&mut self, out: &mut [T], mut f: impl FnMut(u32) -> T) {
        self.by_chunks::<T, 1>(out, |words, chunk| chunk.iter_mut().zip(words).for_each(|(o, &w)| *o = f(w)));
    }

    /// One 64-bit word per element.
    #[inline(always)]
    fn each_u64<T>(&mut self, out: &mut [T], mut f: impl FnMut(u64) -> T) {
        self.by_chunks::<T, 2>(out, |words, chunk| {
            chunk.iter_mut().zip(words.chunks_exact(2)).for_each(|(o, w)| *o = f(join(w[0], w[1])));
        });
    }

    /// One uniform f64 of [0, 1) per element.
    #[inline(always)]
    fn each_f64<T>(&mut self, out: &mut [T], mut f: impl FnMut(f64) -> T) {
        self.each_u64(out, |w| f(unit_f64(w)));
    }
}

// Uniform and normal
impl Generator {
    /// `uniform_`: f32 uniform over [from, to).
    pub fn uniform_f32(&mut self, out: &mut [f32], from: f64, to: f64) -> Result<(), String> {
        check_uniform(from, to, f32::MAX.into())?;
        let (from, to) = (from as f32, to as f32);
        // SAFETY: as in `fill_u32`.
        self.by_chunks::<f32, 1>(out, |words, chunk| unsafe { uniform_f32(words, chunk, from, to) });
        Ok(())
    }

    /// `uniform_`: f64 uniform over [from, to).
    pub fn uniform_f64(&mut self, out: &mut [f64], from: f64, to: f64) -> Result<(), String> {
        check_uniform(from, to, f64::MAX)?;
        // SAFETY: as in `fill_u32`.
        self.by_chunks::<f64, 2>(out, |words, chunk| unsafe { uniform_f64(words, chunk, from, to) });
        Ok(())
    }

    /// `uniform_` for f16 and bf16: the f32 values rounded by `cast`; what rounds up to `to` becomes `from`.
    pub fn uniform_reduced<T: Copy + PartialEq>(
        &mut self,
        out: &mut [T],
        from: f64,
        to: f64,
        cast: impl Fn(f32) -> T,
    ) -> Result<(), String> {
        check_uniform(from, to, f32::MAX.into())?;
        let (from, to) = (from as f32, to as f32);
        let (first, end) = (cast(from), cast(to));
        let mut values = [0.0; CHUNK];
        self.by_chunks::<T, 1>(out, |words, chunk| {
            let values = &mut values[..chunk.len()];
            // SAFETY: as in `fill_u32`.
            unsafe { uniform_f32(words, values, from, to) };
            for (o, &v) in chunk.iter_mut().zip(&*values) {
                let v = cast(v);
                *o = if v == end { first } else { v };
            }
        });
        Ok(())
    }

    /// `normal_` of a contiguous f32 tensor.
    ///
    /// From 16 elements on: all elements get uniforms, then each block of 16 turns its first 8 (radius) and last 8
    /// (angle) into 16 normals; if the size is no multiple of 16, the last 16 elements are drawn anew. Below 16 it
    /// is [`Generator::normal_serial`], which is also PyTorch's rule for non-contiguous tensors of any size.
    pub fn normal_f32(&mut self, out: &mut [f32], mean: f64, std: f64) -> Result<(), String> {
        if out.len() < 16 {
            return self.normal_serial(out, mean, std, |v| v as f32);
        }
        check_std("normal_", std)?;
        let (mean, std) = (mean as f32, std as f32);
        self.normal_blocks(
            out,
            // SAFETY: as in `fill_u32`, here and below.
            |rng, part| rng.by_chunks::<f32, 1>(part, |words, chunk| unsafe { uniform_f32(words, chunk, 0.0, 1.0) }),
            |part| unsafe { box_muller_f32(part, mean, std) },
        );
        Ok(())
    }

    /// `normal_` of a contiguous f64 tensor; the rule of [`Generator::normal_f32`] in f64.
    pub fn normal_f64(&mut self, out: &mut [f64], mean: f64, std: f64) -> Result<(), String> {
        if out.len() < 16 {
            return self.normal_serial(out, mean, std, |v| v);
        }
        check_std("normal_", std)?;
        self.normal_blocks(
            out,
            |rng, part| rng.each_f64(part, |u| u),
            |part| part.chunks_exact_mut(16).for_each(|block| box_muller_f64(block, mean, std)),
        );
        Ok(())
    }

    /// `normal_` of a contiguous f16 or bf16 tensor: Box-Muller in f32, rounded by `cast`. Unlike f32, the elements
    /// after the last full block draw nothing before the last 16 elements are drawn anew.
    pub fn normal_reduced<T>(
        &mut self,
        out: &mut [T],
        mean: f64,
        std: f64,
        cast: impl Fn(f32) -> T,
    ) -> Result<(), String> {
        if out.len() < 16 {
            return self.normal_serial(out, mean, std, |v| cast(v as f32));
        }
        check_std("normal_", std)?;
        let (mean, std) = (mean as f32, std as f32);
        let mut values = [0.0; CHUNK];
        let mut fill = |part: &mut [T]| {
            self.by_chunks::<T, 1>(part, |words, chunk| {
                let values = &mut values[..chunk.len()];
                // SAFETY: as in `fill_u32`.
                unsafe {
                    uniform_f32(words, values, 0.0, 1.0);
                    box_muller_f32(values, mean, std);
                }
                chunk.iter_mut().zip(&*values).for_each(|(o, &v)| *o = cast(v));
            });
        };
        let (len, rest) = (out.len(), out.len() % 16);
        fill(&mut out[..len - rest]);
        if rest != 0 {
            fill(&mut out[len - 16..]);
        }
        Ok(())
    }

    /// Normal values one by one, as `normal_` makes them for small or non-contiguous tensors of any dtype.
    pub fn normal_serial<T>(
        &mut self,
        out: &mut [T],
        mean: f64,
        std: f64,
        cast: impl Fn(f64) -> T,
    ) -> Result<(), String> {
        check_std("normal_", std)?;
        out.iter_mut().for_each(|o| *o = cast(self.next_normal(mean, std)));
        Ok(())
    }

    /// One normal value: half of a Box-Muller pair, the other half is kept for the next call.
    pub fn next_normal(&mut self, mean: f64, std: f64) -> f64 {
        let standard = self.next_normal_f64.take().unwrap_or_else(|| {
            let angle = std::f64::consts::TAU * unit_f64(self.random64());
            let radius = (-2.0 * (-unit_f64(self.random64())).ln_1p()).sqrt();
            self.next_normal_f64 = Some(radius * angle.sin());
            radius * angle.cos()
        });
        standard.mul_add(std, mean)
    }

    /// The block rule of `normal_` for 16 elements or more: `draw` writes uniforms, `transform` whole blocks.
    fn normal_blocks<T>(&mut self, out: &mut [T], draw: impl Fn(&mut Self, &mut [T]), transform: impl Fn(&mut [T])) {
        let (len, rest) = (out.len(), out.len() % 16);
        // The block cut off at the end is drawn as well, and lost.
        let mut at = 0;
        while at < len {
            let part = &mut out[at..(at + CHUNK).min(len)];
            draw(self, part);
            let whole = part.len() / 16 * 16;
            transform(&mut part[..whole]);
            at += CHUNK;
        }
        if rest != 0 {
            let last = &mut out[len - 16..];
            draw(self, last);
            transform(last);
        }
    }

    /// `log_normal_`: exp of a serial normal.
    pub fn log_normal<T>(&mut self, out: &mut [T], mean: f64, std: f64, cast: impl Fn(f64) -> T) -> Result<(), String> {
        check_positive("log_normal_", "std", std)?;
        self.normal_serial(out, mean, std, |v| cast(v.exp()))
    }
}

// Integers
impl Generator {
    /// `random_(lo, hi)` and `randint` for any dtype: integers of [lo, hi).
    pub fn random_from_to<T>(
        &mut self,
        out: &mut [T],
        lo: i64,
        hi: i64,
        cast: impl Fn(i64) -> T,
    ) -> Result<(), String> {
        if lo >= hi {
            return Err(format!("random_: expected from < to, got from={lo} and to={hi}"));
        }
        let range = (hi as u64).wrapping_sub(lo as u64);
        self.modulo(out, range, range >= FROM_TO_WIDE, |v| cast(lo.wrapping_add(v as i64)));
        Ok(())
    }

    /// `random_(lo, None)` of an i64 tensor: integers of [lo, i64::MAX], with all 2^64 values for `i64::MIN`.
    pub fn random_from(&mut self, out: &mut [i64], lo: i64) {
        match (1u64 << 63).wrapping_sub(lo as u64) {
            0 => self.each_u64(out, |w| w as i64),
            range => self.modulo(out, range, range >= FROM_TO_WIDE, |v| lo.wrapping_add(v as i64)),
        }
    }

    /// [`Generator::random_from_to`] for i64.
    pub fn random_from_to_i64(&mut self, out: &mut [i64], lo: i64, hi: i64) -> Result<(), String> {
        self.random_from_to(out, lo, hi, |v| v)
    }

    /// `random_()`: the whole non-negative range of a dtype.
    pub fn random_full<T>(&mut self, out: &mut [T], largest: i64, cast: impl Fn(u64) -> T) {
        let range = largest as u64 + 1;
        self.modulo(out, range, range > 1 << 32, cast);
    }

    /// Words modulo `range`, of 64 bits if `wide` and 32 otherwise.
    #[inline(always)]
    fn modulo<T>(&mut self, out: &mut [T], range: u64, wide: bool, f: impl Fn(u64) -> T) {
        if wide {
            self.each_u64(out, |w| f(w % range));
        } else {
            // Remainder by multiplication (Lemire, Kaser and Kurz 2019), exact for 32-bit operands.
            let inverse = (u64::MAX / range).wrapping_add(1);
            self.each_u32(out, |w| {
                let fraction = inverse.wrapping_mul(w.into());
                f(((u128::from(fraction) * u128::from(range)) >> 64) as u64)
            });
        }
    }

    /// `randperm`: a random permutation of `0..out.len()`.
    pub fn randperm_into(&mut self, out: &mut [i64]) {
        let n = out.len();
        if n < RANDPERM_WIDE {
            out.iter_mut().zip(0..).for_each(|(o, i)| *o = i);
            let mut words = [0; CHUNK];
            for start in (0..n.saturating_sub(1)).step_by(CHUNK) {
                let words = &mut words[..CHUNK.min(n - 1 - start)];
                self.fill_u32(words);
                for (i, &word) in (start..).zip(&*words) {
                    out.swap(i, i + word as usize % (n - i));
                }
            }
        } else {
            for i in 0..n {
                let j = (self.random64() % (i as u64 + 1)) as usize;
                out[i] = out[j];
                out[j] = i as i64;
            }
        }
    }

    /// [`Generator::randperm_into`] a new vector.
    pub fn randperm(&mut self, n: usize) -> Result<List<i64>, String> {
        let mut out = scratch("randperm", n)?;
        self.randperm_into(&mut out);
        Ok(out)
    }
}

// Other distributions
impl Generator {
    /// `bernoulli_(p)` and dropout masks: `one` with probability `p`, else `zero`.
    pub fn bernoulli_scalar<T: Copy>(&mut self, out: &mut [T], p: f64, zero: T, one: T) -> Result<(), String> {
        check_probability(p)?;
        // k / 2^53 < p, as integers.
        let limit = (p / INV53).ceil() as u64;
        self.each_u64(out, |w| if w & MASK53 < limit { one } else { zero });
        Ok(())
    }

    /// `bernoulli` with one f32 probability per element (f16 and bf16 ones are cast to f32).
    pub fn bernoulli_f32<T: Copy>(&mut self, out: &mut [T], p: &[f32], zero: T, one: T) -> Result<(), String> {
        check_probabilities(out.len(), p)?;
        let mut p = p.chunks(CHUNK);
        self.by_chunks::<T, 1>(out, |words, chunk| {
            for ((o, &w), &p) in chunk.iter_mut().zip(words).zip(p.next().unwrap_or_default()) {
                *o = if unit_f32(w) < p { one } else { zero };
            }
        });
        Ok(())
    }

    /// `bernoulli` with one f64 probability per element.
    pub fn bernoulli_f64<T: Copy>(&mut self, out: &mut [T], p: &[f64], zero: T, one: T) -> Result<(), String> {
        check_probabilities(out.len(), p)?;
        let mut p = p.chunks(CHUNK);
        self.by_chunks::<T, 2>(out, |words, chunk| {
            for ((o, w), &p) in chunk.iter_mut().zip(words.chunks_exact(2)).zip(p.next().unwrap_or_default()) {
                *o = if unit_f64(join(w[0], w[1])) < p { one } else { zero };
            }
        });
        Ok(())
    }

    /// `exponential_(lambda)`.
    pub fn exponential<T>(&mut self, out: &mut [T], lambda: f64, cast: impl Fn(f64) -> T) -> Result<(), String> {
        check_positive("exponential_", "lambda", lambda)?;
        self.each_f64(out, |u| cast(-1.0 / lambda * (-u).ln_1p()));
        Ok(())
    }

    /// `geometric_(p)`: the number of trials up to the first success, counted from 1.
    pub fn geometric<T>(&mut self, out: &mut [T], p: f64, cast: impl Fn(f64) -> T) -> Result<(), String> {
        check_trials(p)?;
        self.each_f64(out, |u| cast((u.ln() / (-p).ln_1p()).ceil()));
        Ok(())
    }

    /// `cauchy_(median, sigma)`.
    pub fn cauchy<T>(&mut self, out: &mut [T], median: f64, sigma: f64, cast: impl Fn(f64) -> T) -> Result<(), String> {
        check_positive("cauchy_", "sigma", sigma)?;
        self.each_f64(out, |u| cast(sigma.mul_add((std::f64::consts::PI * (u - 0.5)).tan(), median)));
        Ok(())
    }

    /// `multinomial` of contiguous f32 weights, `rows` rows of equal length: `out` gets `out.len() / rows` category
    /// indices per row. `round` rounds to the weights' dtype: the identity for f32, through f16 or bf16 for those.
    ///
    /// Without replacement, and for a single sample, each weight is divided by an exponential variate and the
    /// largest quotients win (the lowest index among equals). With replacement a uniform f64 per sample is looked up
    /// in the running sum of the row's weights, divided by their sum.
    pub fn multinomial_f32(
        &mut self,
        weights: &[f32],
        rows: usize,
        replacement: bool,
        out: &mut [i64],
        round: impl Fn(f32) -> f32,
    ) -> Result<(), String> {
        self.multinomial(weights, rows, replacement, out, |w, e| round(w / round(e as f32)))
    }

    /// [`Generator::multinomial_f32`] for f64 weights.
    pub fn multinomial_f64(
        &mut self,
        weights: &[f64],
        rows: usize,
        replacement: bool,
        out: &mut [i64],
    ) -> Result<(), String> {
        self.multinomial(weights, rows, replacement, out, |w, e| w / e)
    }

    fn multinomial<T: Weight>(
        &mut self,
        weights: &[T],
        rows: usize,
        replacement: bool,
        out: &mut [i64],
        quotient: impl Fn(T, f64) -> T,
    ) -> Result<(), String> {
        if rows == 0 || out.is_empty() {
            return Ok(());
        }
        let (categories, samples) = (weights.len() / rows, out.len() / rows);
        if categories * rows != weights.len() || samples * rows != out.len() {
            let (w, o) = (weights.len(), out.len());
            return Err(format!("multinomial: {w} weights and {o} samples do not divide into {rows} rows"));
        }
        check_counts(categories, samples, replacement)?;
        if let Some(w) = weights.iter().copied().map(T::widen).find(|w| !(w.is_finite() && *w >= 0.0)) {
            return Err(format!("multinomial: expected finite weights >= 0, got {w}"));
        }
        if weights.chunks_exact(categories).any(|row| !row.iter().any(|&w| w > T::ZERO)) {
            return Err("multinomial: expected a positive weight in each row, got a row of zeros".into());
        }
        let by_quotient = !replacement || samples == 1;
        let mut values = scratch::<T>("multinomial", categories)?;
        let mut order = scratch::<i64>("multinomial", if by_quotient { categories } else { 0 })?;
        for (row, out) in weights.chunks_exact(categories).zip(out.chunks_exact_mut(samples)) {
            if by_quotient {
                let mut row = row.iter();
                self.each_f64(&mut values, |u| quotient(*row.next().unwrap_or(&T::ZERO), -(-u).ln_1p()));
                largest(&values, &mut order, out);
            } else {
                let mut sum = T::ZERO;
                for (v, &w) in values.iter_mut().zip(row) {
                    sum = sum + w;
                    *v = sum;
                }
                values.iter_mut().for_each(|v| *v = *v / sum);
                values[categories - 1] = T::ONE;
                self.each_f64(out, |u| values.partition_point(|v| v.widen() < u) as i64);
            }
        }
        Ok(())
    }
}

// Samples by rejection, one by one
impl Generator {
    /// A uniform f64 of [0, 1).
    fn unit(&mut self) -> f64 {
        unit_f64(self.random64())
    }

    /// A sample of the gamma distribution with shape `a` and rate 1, by the method of Marsaglia and Tsang (2000), which for
    /// shapes below 1 takes that of `a + 1` times `u^(1 / a)`.
    pub fn gamma(&mut self, a: f64) -> f64 {
        if a == 0.0 {
            return 0.0;
        }
        let (scale, a) = if a < 1.0 { ((1.0 - self.unit()).powf(1.0 / a), a + 1.0) } else { (1.0, a) };
        let d = a - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let (x, y) = loop {
                let x = self.next_normal(0.0, 1.0);
                let y = 1.0 + c * x;
                if y.is_nan() || y > 0.0 {
                    break (x, y);
                }
            };
            let (v, u, square) = (y * y * y, 1.0 - self.unit(), x * x);
            if u < 1.0 - 0.0331 * square * square || u.ln() < 0.5 * square + d * (1.0 - v + v.ln()) {
                return scale * d * v;
            }
        }
    }

    /// A sample of the Poisson distribution: for rates from 10 on by transformed rejection (PTRS, Hörmann 1993), below by
    /// counting uniform numbers until their product is less than `e^-rate`.
    pub fn poisson(&mut self, rate: f64) -> f64 {
        if rate == 0.0 {
            return 0.0;
        }
        if rate < 10.0 {
            let (end, mut product, mut count) = ((-rate).exp(), 1.0, 0.0);
            loop {
                product *= self.unit();
                if product <= end {
                    return count;
                }
                count += 1.0;
            }
        }
        let b = 0.931 + 2.53 * rate.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let quick = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.unit() - 0.5;
            let v = self.unit();
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + rate + 0.43).floor();
            if us >= 0.07 && v <= quick {
                return k;
            }
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let left = v.ln() + inverse_alpha.ln() - (a / (us * us) + b).ln();
            if left <= -rate + k * rate.ln() - libm::lgamma(k + 1.0) {
                return k;
            }
        }
    }

    /// A sample of the binomial distribution of `count` trials: by transformed rejection (BTRS, Hörmann 1993) where the mean
    /// is 10 or more, below by adding up the geometric gaps between successes. NaN if `p` is.
    pub fn binomial(&mut self, count: f64, p: f64) -> f64 {
        if count <= 0.0 || p <= 0.0 {
            0.0
        } else if p >= 1.0 {
            count
        } else if p <= 0.5 {
            self.binomial_rare(count, p)
        } else if p > 0.5 {
            count - self.binomial_rare(count, 1.0 - p)
        } else {
            f64::NAN
        }
    }

    /// [`Generator::binomial`] for probabilities up to a half.
    fn binomial_rare(&mut self, count: f64, p: f64) -> f64 {
        if count.is_nan() {
            return count;
        }
        if count * p < 10.0 {
            let (log, mut gone, mut successes) = ((-p).ln_1p(), 0.0, 0.0);
            loop {
                gone += (self.unit().ln() / log).ceil();
                if gone.is_nan() || gone > count {
                    return successes;
                }
                successes += 1.0;
            }
        }
        let deviation = (count * p * (1.0 - p)).sqrt();
        let b = 1.15 + 2.53 * deviation;
        let a = -0.0873 + 0.0248 * b + 0.01 * p;
        let c = count * p + 0.5;
        let quick = 0.92 - 4.2 / b;
        let odds = p / (1.0 - p);
        let alpha = (2.83 + 5.1 / b) * deviation;
        let m = ((count + 1.0) * p).floor();
        loop {
            let u = self.unit() - 0.5;
            let v = self.unit();
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + c).floor();
            if us >= 0.07 && v <= quick {
                return k;
            }
            if k < 0.0 || k > count {
                continue;
            }
            let left = (v * alpha / (a / (us * us) + b)).ln();
            let right = (m + 0.5) * ((m + 1.0) / (odds * (count - m + 1.0))).ln()
                + (count + 1.0) * ((count - m + 1.0) / (count - k + 1.0)).ln()
                + (k + 0.5) * (odds * (count - k + 1.0) / (k + 1.0)).ln()
                + stirling_rest(m)
                + stirling_rest(count - m)
                - stirling_rest(k)
                - stirling_rest(count - k);
            if left <= right {
                return k;
            }
        }
    }
}

/// What Stirling's formula for `ln k!` leaves: `ln k! - (k + 1/2) ln(k + 1) + (k + 1) - ln(2 pi) / 2`.
fn stirling_rest(k: f64) -> f64 {
    if k < 10.0 {
        let n = k + 1.0;
        return libm::lgamma(n) - (n - 0.5) * n.ln() + n - 0.918_938_533_204_672_7;
    }
    let n = k + 1.0;
    let square = n * n;
    (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / n
}

/// f32 or f64 weights of `multinomial`, which sums them in their own precision.
trait Weight: Copy + Default + PartialOrd + std::ops::Add<Output = Self> + std::ops::Div<Output = Self> {
    const ZERO: Self;
    const ONE: Self;
    fn widen(self) -> f64;
}

impl Weight for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    fn widen(self) -> f64 {
        self.into()
    }
}

impl Weight for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    fn widen(self) -> f64 {
        self
    }
}

/// The indices of the `out.len()` largest values, largest first.
fn largest<T: Weight>(values: &[T], order: &mut [i64], out: &mut [i64]) {
    order.iter_mut().zip(0..).for_each(|(o, i)| *o = i);
    let descending = |&a: &i64, &b: &i64| {
        let (x, y) = (values[a as usize].widen(), values[b as usize].widen());
        y.total_cmp(&x).then(a.cmp(&b))
    };
    let count = out.len();
    if count < order.len() {
        order.select_nth_unstable_by(count, descending);
    }
    order[..count].sort_unstable_by(descending);
    out.copy_from_slice(&order[..count]);
}

/// What `uniform_` refuses; `max` is the largest number of the type that it computes in.
pub(crate) fn check_uniform(from: f64, to: f64, max: f64) -> Result<(), String> {
    match from <= to && to - from <= max {
        true => Ok(()),
        false => Err(format!("uniform_: expected from <= to with a finite difference, got from={from} and to={to}")),
    }
}

/// What normal distributions refuse.
pub(crate) fn check_std(op: &str, std: f64) -> Result<(), String> {
    match std >= 0.0 {
        true => Ok(()),
        false => Err(format!("{op}: expected std >= 0, got {std}")),
    }
}

/// What distributions with a positive parameter refuse.
pub(crate) fn check_positive(op: &str, name: &str, v: f64) -> Result<(), String> {
    match v > 0.0 {
        true => Ok(()),
        false => Err(format!("{op}: expected {name} > 0, got {v}")),
    }
}

/// What `geometric_` refuses.
pub(crate) fn check_trials(p: f64) -> Result<(), String> {
    match p > 0.0 && p < 1.0 {
        true => Ok(()),
        false => Err(format!("geometric_: expected p in (0, 1), got {p}")),
    }
}

/// What `bernoulli` refuses.
pub(crate) fn check_probability(p: f64) -> Result<(), String> {
    match (0.0..=1.0).contains(&p) {
        true => Ok(()),
        false => Err(format!("bernoulli: expected p in [0, 1], got {p}")),
    }
}

/// What `multinomial` refuses before it looks at the weights.
pub(crate) fn check_counts(categories: usize, samples: usize, replacement: bool) -> Result<(), String> {
    if !(1..=1 << 24).contains(&categories) {
        return Err(format!("multinomial: expected 1 to 2^24 categories, got {categories}"));
    }
    if samples > categories && !replacement {
        return Err(format!(
            "multinomial: cannot draw {samples} samples from {categories} categories without replacement"
        ));
    }
    Ok(())
}

fn check_probabilities<T: Copy + Into<f64>>(len: usize, p: &[T]) -> Result<(), String> {
    if p.len() != len {
        return Err(format!("bernoulli: expected {len} probabilities, got {}", p.len()));
    }
    p.iter().try_for_each(|&p| check_probability(p.into()))
}

fn scratch<T: Copy + Default>(op: &str, n: usize) -> Result<List<T>, String> {
    List::filled(n, T::default()).map_err(|_| format!("{op}: {MISSING} for {n} values"))
}

/// What messages about missing memory say.
pub const MISSING: &str = "out of memory";

#[inline(always)]
fn join(hi: u32, lo: u32) -> u64 {
    u64::from(hi) << 32 | u64::from(lo)
}

/// 24 bits to [0, 1).
#[inline(always)]
fn unit_f32(word: u32) -> f32 {
    (word & 0xff_ffff) as i32 as f32 * INV24
}

/// 53 bits to [0, 1).
#[inline(always)]
fn unit_f64(word: u64) -> f64 {
    (word & MASK53) as i64 as f64 * INV53
}

crate::simd_fn! {
    /// The mt19937 recurrence: the next 624 untempered words.
    unsafe fn twist(state: &mut [u32; N]) {
        #[inline(always)]
        fn mix(a: u32, b: u32, far: u32) -> u32 {
            far ^ (((a & 0x8000_0000) | (b & 0x7fff_ffff)) >> 1) ^ ((b & 1).wrapping_neg() & 0x9908_b0df)
        }
        for i in 0..N - M {
            state[i] = mix(state[i], state[i + 1], state[i + M]);
        }
        for i in N - M..N - 1 {
            state[i] = mix(state[i], state[i + 1], state[i - (N - M)]);
        }
        state[N - 1] = mix(state[N - 1], state[0], state[M - 1]);
    }

    /// The mt19937 output function, word by word.
    unsafe fn temper(words: &[u32], out: &mut [u32]) {
        for (o, &w) in out.iter_mut().zip(words) {
            let w = w ^ (w >> 11);
            let w = w ^ ((w << 7) & 0x9d2c_5680);
            let w = w ^ ((w << 15) & 0xefc6_0000);
            *o = w ^ (w >> 18);
        }
    }

    /// One word per element to [from, to).
    unsafe fn uniform_f32(words: &[u32], out: &mut [f32], from: f32, to: f32) {
        let scale = to - from;
        for (o, &w) in out.iter_mut().zip(words) {
            let v = unit_f32(w).mul_add(scale, from);
            *o = if v == to { from } else { v };
        }
    }

    /// Two words per element to [from, to).
    unsafe fn uniform_f64(words: &[u32], out: &mut [f64], from: f64, to: f64) {
        let scale = to - from;
        for (o, w) in out.iter_mut().zip(words.chunks_exact(2)) {
            let v = unit_f64(join(w[0], w[1])).mul_add(scale, from);
            *o = if v == to { from } else { v };
        }
    }

    /// Box-Muller in place over each 16 uniforms: 8 radii, then 8 angles, to 8 cosine and 8 sine values.
    unsafe fn box_muller_f32(data: &mut [f32], mean: f32, std: f32) {
        for block in data.chunks_exact_mut(16) {
            for i in 0..8 {
                let radius = (-2.0 * ln_f32(1.0 - block[i])).sqrt();
                let (sin, cos) = sin_cos_f32(std::f32::consts::TAU * block[i + 8]);
                block[i] = (radius * cos).mul_add(std, mean);
                block[i + 8] = (radius * sin).mul_add(std, mean);
            }
        }
    }
}

/// [`box_muller_f32`] of one block in f64.
fn box_muller_f64(block: &mut [f64], mean: f64, std: f64) {
    for i in 0..8 {
        let radius = (-2.0 * (1.0 - block[i]).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * block[i + 8]).sin_cos();
        block[i] = (radius * cos).mul_add(std, mean);
        block[i + 8] = (radius * sin).mul_add(std, mean);
    }
}

/// Natural logarithm of a positive normal f32: the method and coefficients of Cephes `logf` (Moshier), with fused
/// multiply-adds. PyTorch uses the same polynomial for normals, so the results are the same bits.
#[inline(always)]
fn ln_f32(x: f32) -> f32 {
    const POLY: [f32; 8] = [
        -1.151_461e-1,
        1.167_699_84e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_4e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    let bits = x.to_bits();
    // x = m * 2^e with m in [sqrt(1/2), sqrt(2)).
    let m = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    let e = (bits >> 23) as i32 - 126;
    let low = m < std::f32::consts::FRAC_1_SQRT_2;
    let e = (e - low as i32) as f32;
    let m = m - 1.0 + if low { m } else { 0.0 };
    let z = m * m;
    let mut y = 7.037_683_6e-2;
    for c in POLY {
        y = m.mul_add(y, c);
    }
    let y = (y * m).mul_add(z, e * -2.121_944_4e-4);
    let y = z.mul_add(-0.5, y);
    e.mul_add(0.693_359_4, m + y)
}

/// Sine and cosine of an angle in [0, 2 pi]: the method and coefficients of Cephes `sinf`, as for [`ln_f32`].
#[inline(always)]
fn sin_cos_f32(x: f32) -> (f32, f32) {
    // Octant, rounded up to even: 0, 2, 4, 6 or 8. SAFETY: the product is between 0 and 9.
    let octant = unsafe { (x * (4.0 / std::f32::consts::PI)).to_int_unchecked::<i32>() + 1 } & !1;
    let y = octant as f32;
    // x - octant * pi / 4, with pi / 4 in three parts.
    let x = y.mul_add(-3.774_895e-8, y.mul_add(-2.418_756_5e-4, y.mul_add(-0.785_156_25, x)));
    let z = x * x;
    let cos = 2.443_315_7e-5f32.mul_add(z, -1.388_731_6e-3).mul_add(z, 4.166_664_6e-2);
    let cos = (cos * z).mul_add(z, -0.5 * z) + 1.0;
    let sin = (-1.951_529_6e-4f32).mul_add(z, 8.332_161e-3).mul_add(z, -1.666_665_5e-1);
    let sin = (sin * z).mul_add(x, x);
    let swap = octant & 2 != 0;
    let (s, c) = if swap { (cos, sin) } else { (sin, cos) };
    // Sine is negative in the octants 4 and 6, cosine in 2 and 4.
    let (s_sign, c_sign) = ((octant as u32 & 4) << 29, ((octant + 2) as u32 & 4) << 29);
    (f32::from_bits(s.to_bits() ^ s_sign), f32::from_bits(c.to_bits() ^ c_sign))
}

#[cfg(test)]
mod tests {
    //! The expected values are PyTorch 2.13's for the same calls.
    use super::*;

    fn fill<T: Clone + Default>(n: usize, f: impl FnOnce(&mut [T])) -> Vec<T> {
        let mut out = vec![T::default(); n];
        f(&mut out);
        out
    }

    fn rand(g: &mut Generator, n: usize) -> Vec<f32> {
        fill(n, |o| g.uniform_f32(o, 0.0, 1.0).unwrap())
    }

    fn randn(g: &mut Generator, n: usize) -> Vec<f32> {
        fill(n, |o| g.normal_f32(o, 0.0, 1.0).unwrap())
    }

    /// Values that come from the platform's libm.
    fn assert_close<T: Copy + Into<f64>>(got: &[T], want: &[f64], tolerance: f64) {
        assert_eq!(got.len(), want.len());
        for (&g, &w) in got.iter().zip(want) {
            assert!((g.into() - w).abs() <= tolerance * w.abs(), "{} != {w}", g.into());
        }
    }

    fn checksum(g: &Generator) -> u64 {
        g.get_state().iter().fold(0, |h: u64, &b| h.wrapping_mul(31).wrapping_add(b.into()))
    }

    #[test]
    fn words() {
        // The standard's test value for mt19937: the 10,000th word of seed 5489.
        let words = fill(10_000, |o| Generator::new(5489).fill_u32(o));
        assert_eq!(words[9999], 4_123_659_995);
        let mut g = Generator::new(5489);
        assert!(words.iter().all(|&w| g.random() == w));
    }

    #[test]
    fn uniform() {
        let mut g = Generator::new(0);
        assert_eq!(rand(&mut g, 3), [0.496_256_6, 0.768_221_8, 0.088_477_43]);
        g.manual_seed(0);
        let v = fill(3, |o| g.uniform_f32(o, -0.3, 0.7).unwrap());
        assert_eq!(v, [0.196_256_58, 0.468_221_78, -0.211_522_58]);
        g.manual_seed(0);
        let v = fill(3, |o| g.uniform_f64(o, 0.0, 1.0).unwrap());
        assert_eq!(v, [0.970_053_001_806_553_1, 0.707_819_864_399_788, 0.459_382_943_127_450_87]);
        g.manual_seed(0);
        let v = fill(4, |o| g.uniform_reduced(o, 0.0, 1.0, |v| half::bf16::from_f32(v).to_f32()).unwrap());
        assert_eq!(v, [0.496_093_75, 0.769_531_25, 0.088_378_906, 0.131_835_94]);
        // All values round to 1, which is outside of the range.
        let v = fill(4, |o| g.uniform_reduced(o, 0.999, 1.0, |v| half::bf16::from_f32(v).to_f32()).unwrap());
        assert_eq!(v, [1.0; 4]);
    }

    #[test]
    fn normal() {
        let mut g = Generator::new(0);
        assert_close(&randn(&mut g, 3), &[1.5409961, -0.2934289, -2.1787894], 1e-7);
        g.manual_seed(0);
        let v = randn(&mut g, 17);
        assert_eq!([v[0], v[1], v[8], v[16]], [-1.125_839_8, -1.695_931_2, 0.468_096_4, 0.931_826_6]);
        g.manual_seed(0);
        let v = fill(17, |o| g.normal_f64(o, 0.0, 1.0).unwrap());
        let want = [-2.310411800234176, -0.6332746088675096, 0.23871805816817063, 0.6748575435940039];
        assert_close(&[v[0], v[1], v[8], v[16]], &want, 1e-14);
        g.manual_seed(0);
        let v = fill(17, |o| g.normal_reduced(o, 0.0, 1.0, |v| half::bf16::from_f32(v).to_f32()).unwrap());
        assert_eq!([v[0], v[1], v[8], v[16]], [-1.125, -1.351_562_5, 1.851_562_5, -0.843_75]);
    }

    #[test]
    fn interleaved() {
        let mut g = Generator::new(42);
        let (a, b) = (randn(&mut g, 5), randn(&mut g, 20));
        let (c, d) = (rand(&mut g, 3), randn(&mut g, 1));
        assert_close(&[a[4], b[0], b[19], c[0]], &[-1.1228564, -0.2482575, -0.48791388, 0.7539175], 1e-7);
        assert_close(&d, &[-0.18632829], 1e-7);
        assert_eq!(checksum(&g), 0x9037_abfb_2667_225c);
    }

    #[test]
    fn state() {
        let mut g = Generator::new((1 << 40) + 3);
        assert_eq!(g.initial_seed(), (1 << 40) + 3);
        rand(&mut g, 1000);
        randn(&mut g, 1);
        assert_eq!(checksum(&g), 0x470b_23aa_aa29_1044);
        randn(&mut g, 1);
        let before = g.get_state();
        assert_eq!(before.len(), STATE_BYTES);
        assert_eq!((&before[8..16], &before[16..18]), (&[245, 0, 0, 0, 1, 0, 0, 0][..], &[124, 1][..]));
        let v = randn(&mut g, 3);
        let mut other = Generator::default();
        other.set_state(&before).unwrap();
        assert_eq!(randn(&mut other, 3), v);
        assert_eq!(other, g);
        other.set_state(&g.get_state()).unwrap();
        assert_eq!(randn(&mut other, 2), randn(&mut g, 2));

        for at in [9, 11, 12, 17] {
            let mut bad = before.clone();
            bad[at] ^= if at == 12 { 1 } else { 0x7f };
            assert!(other.set_state(&bad).unwrap_err().contains("mt19937"));
        }
        assert!(other.set_state(&before[1..]).unwrap_err().contains("5055"));
        assert_eq!(other, g, "a refused state changes nothing");
        let seed = other.seed();
        assert_eq!((seed, seed >> 53), (other.initial_seed(), 0));
    }

    #[test]
    fn integers() {
        let mut g = Generator::new(0);
        assert_eq!(fill(6, |o| g.random_from_to_i64(o, 0, 10).unwrap()), [4, 9, 3, 0, 3, 9]);
        g.manual_seed(0);
        let v = fill(3, |o| g.random_from_to_i64(o, -5, 1 << 40).unwrap());
        assert_eq!(v, [741_234_585_336, 506_077_272_957, 291_397_093_751]);
        g.manual_seed(0);
        let v = fill(2, |o| g.random_full(o, i64::MAX, |v| v));
        assert_eq!(v, [900_450_186_894_289_455, 3_969_543_146_641_149_120]);
        assert_eq!(fill(1, |o| g.random_from(o, i64::MIN)), [-7_327_722_439_656_189_189]);
        assert_eq!(fill(4, |o| g.random_full(o, i8::MAX.into(), |v| v)), [67, 103, 9, 83]);
        g.manual_seed(0);
        assert_eq!(g.randperm(8).unwrap()[..], [4, 0, 7, 3, 2, 5, 1, 6]);
        assert_eq!((&g.randperm(0).unwrap()[..], &g.randperm(1).unwrap()[..]), (&[][..], &[0][..]));
        assert!(g.randperm(usize::MAX).unwrap_err().contains("memory"));
    }

    #[test]
    fn bernoulli() {
        let mut g = Generator::new(0);
        let v = fill(10, |o| g.bernoulli_scalar(o, 0.3, 0, 1).unwrap());
        assert_eq!(v, [0, 0, 0, 0, 0, 0, 1, 0, 0, 1]);
        assert_eq!(fill(6, |o| g.bernoulli_f32(o, &[0.5; 6], 0, 1).unwrap()), [0, 0, 1, 0, 1, 0]);
        assert_eq!(fill(6, |o| g.bernoulli_f64(o, &[0.5; 6], 0, 1).unwrap()), [0, 1, 1, 1, 1, 0]);
        assert_eq!(fill(500, |o| g.bernoulli_scalar(o, 1.0, 0, 1).unwrap()), [1; 500]);
        assert_eq!(fill(500, |o| g.bernoulli_scalar(o, 0.0, 0, 1).unwrap()), [0; 500]);
    }

    #[test]
    fn other_distributions() {
        let mut g = Generator::new(0);
        let v = fill(2, |o| g.exponential(o, 2.0, |v| v).unwrap());
        assert_close(&v, &[1.754163093353821, 0.6151923820898384], 1e-14);
        assert_eq!(fill(4, |o| g.geometric(o, 0.2, |v| v as i64).unwrap()), [4, 1, 2, 2]);
        let v = fill(2, |o| g.cauchy(o, 1.0, 0.5, |v| v).unwrap());
        assert_close(&v, &[0.20444734716857071, 0.7474249514881337], 1e-14);
        let v = fill(2, |o| g.log_normal(o, 0.0, 0.5, |v| v).unwrap());
        assert_close(&v, &[0.6979353591089295, 0.8173631731880275], 1e-14);
    }

    #[test]
    fn multinomial() {
        let mut g = Generator::new(0);
        let w = [0.1, 0.2, 0.3, 0.4, 1.0, 0.0, 0.0, 3.0];
        let mut draw = |replacement, n| fill(n, |o| g.multinomial_f32(&w, 2, replacement, o, |v| v).unwrap());
        assert_eq!(draw(true, 6), [3, 3, 2, 3, 3, 3]);
        assert_eq!(draw(false, 4), [3, 0, 3, 0]);
        assert_eq!(draw(true, 2), [3, 3]);
        assert_eq!(checksum(&g), 0x1d2b_9387_6a8a_cf6a);
    }

    #[test]
    fn bad_input() {
        let mut g = Generator::new(0);
        let before = g.clone();
        let (mut f, mut i) = ([0f32; 20], [0i64; 4]);
        let errors = [
            g.uniform_f32(&mut f, 2.0, 1.0),
            g.uniform_f32(&mut f, f64::NAN, 1.0),
            g.uniform_f32(&mut f, -3e38, 3e38),
            g.normal_f32(&mut f, 0.0, -1.0),
            g.normal_f32(&mut f[..3], 0.0, f64::NAN),
            g.log_normal(&mut f, 0.0, 0.0, |v| v as f32),
            g.exponential(&mut f, 0.0, |v| v as f32),
            g.geometric(&mut f, 1.0, |v| v as f32),
            g.cauchy(&mut f, 0.0, -1.0, |v| v as f32),
            g.bernoulli_scalar(&mut f, 1.5, 0.0, 1.0),
            g.bernoulli_f32(&mut f, &[f32::NAN; 20], 0.0, 1.0),
            g.bernoulli_f64(&mut f, &[0.5; 3], 0.0, 1.0),
            g.random_from_to_i64(&mut i, 3, 3),
            g.multinomial_f64(&[], 1, true, &mut i),
            g.multinomial_f64(&[1.0, -1.0], 1, true, &mut i),
            g.multinomial_f64(&[1.0, f64::INFINITY], 1, true, &mut i),
            g.multinomial_f64(&[1.0, 1.0, 0.0, 0.0], 2, true, &mut i),
            g.multinomial_f64(&[1.0, 1.0, 1.0], 1, false, &mut i),
            g.multinomial_f64(&[1.0, 1.0, 1.0], 2, true, &mut i),
        ];
        for (k, e) in errors.iter().enumerate() {
            assert!(e.as_ref().is_err_and(|e| e.contains("expected") || e.contains("multinomial")), "{k}: {e:?}");
        }
        assert_eq!(g, before, "a refused call draws nothing");
    }
}
