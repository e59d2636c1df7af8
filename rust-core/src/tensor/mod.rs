//! L2: [`Tensor`] = storage + layout + dtype, and a place where autograd keeps its state. Views share the storage.

use crate::device::{self, Device};
use crate::dtype::{DType, Elem, Scalar};
use crate::error::Result;
use crate::kernels::copy;
use crate::memory::{Kept, List};
use crate::shape::{Dims, Layout};
use crate::storage::{Locks, Storage};
use crate::{bail, err};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

pub mod modes;

/// What a tensor handle points to.
pub struct TensorImpl {
    pub(crate) storage: Arc<Storage>,
    pub(crate) layout: Layout,
    pub(crate) dtype: DType,
    /// A plain number that was wrapped for an op: it yields in type promotion.
    pub(crate) wrapped: bool,
    /// Made in inference mode, or a view of such a tensor: autograd keeps no track of its changes.
    pub(crate) inference: bool,
    /// A view that was made while nothing was recorded, one as another dtype, or a view of such a one.
    pub(crate) unrecorded: bool,
    /// For a view, the tensor that it looks into (never itself a view).
    pub(crate) base: Option<Tensor>,
    /// What counts the changes through this tensor, if that is not the storage: see [`Tensor::data`].
    counter: Option<Arc<AtomicU64>>,
    pub(crate) meta: OnceLock<Arc<Meta>>,
}

/// What autograd keeps in a tensor. It is shared by the handles of one tensor (see `Tensor::replaced_by`); the two flags are
/// read at every call of an op, the rest nobody but `autograd` understands.
#[derive(Default)]
pub struct Meta {
    /// True if gradients flow to or through the tensor.
    pub(crate) needs: AtomicBool,
    /// Goes up when an in-place op changes the history of this tensor or of a view of it.
    pub(crate) generation: AtomicU64,
    pub(crate) state: Mutex<State>,
}

/// The part of a tensor's autograd state that changes under a lock.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) grad: Option<Tensor>,
    /// What made this tensor, and which of its outputs it is; None for a leaf.
    pub(crate) history: Option<(History, usize)>,
    /// Hooks of a leaf; few have any. Those of other tensors are at the node.
    pub(crate) hooks: Option<Box<dyn Any + Send>>,
    /// For a view: the generation of its base that `history` belongs to.
    pub(crate) base_generation: u64,
}

/// A node of autograd's graph, which tensors only hold.
pub(crate) type History = Arc<dyn Any + Send + Sync>;

/// Gradients, None where there is none.
pub type Grads = SmallVec<[Option<Tensor>; 3]>;

/// An n-dimensional array. Cloning copies the handle, not the elements.
#[derive(Clone)]
pub struct Tensor(pub(crate) Arc<TensorImpl>);

thread_local! {
    static NUMBER: Kept<Tensor> = const { Kept::new() };
}

fn end_number() {
    NUMBER.with(Kept::end);
}

impl Tensor {
    #[inline(always)] // made in its place, without a copy
    pub(crate) fn build(storage: Arc<Storage>, layout: Layout, dtype: DType, base: Option<Tensor>) -> Tensor {
        debug_assert!(is_inside(&storage, &layout, dtype));
        Tensor::of_parts(storage, layout, dtype, base, modes::inference_enabled(), false)
    }

    #[inline(always)] // as above
    fn of_parts(
        storage: Arc<Storage>,
        layout: Layout,
        dtype: DType,
        base: Option<Tensor>,
        inference: bool,
        unrecorded: bool,
    ) -> Tensor {
        let (wrapped, meta) = (false, OnceLock::new());
        let counter = None;
        Tensor(Arc::new(TensorImpl { storage, layout, dtype, wrapped, inference, unrecorded, base, counter, meta }))
    }

    /// A tensor over the same storage.
    #[inline(always)] // as above
    fn sharing(&self, layout: Layout, base: Option<Tensor>) -> Tensor {
        debug_assert!(is_inside(&self.0.storage, &layout, self.0.dtype));
        let TensorImpl { storage, dtype, inference, unrecorded, .. } = &*self.0;
        let unrecorded = base.is_some() && (*unrecorded || !modes::grad_enabled());
        let t = Tensor::of_parts(storage.clone(), layout, *dtype, base, *inference, unrecorded);
        if self.0.counter.is_some() {
            self.counted_with(t)
        } else {
            t
        }
    }

    /// An uninitialised row-major tensor.
    pub fn empty_of(shape: &[usize], dtype: DType) -> Result<Tensor> {
        crate::memory::check()?;
        let layout = Layout::contiguous(shape)?;
        let storage = Storage::new(bytes(&layout, dtype)?)?;
        Ok(Tensor::build(storage, layout, dtype, None))
    }

    /// An uninitialised tensor.
    #[inline(always)] // as above
    pub(crate) fn of_layout(layout: Layout, dtype: DType) -> Result<Tensor> {
        crate::memory::check()?;
        Ok(Tensor::build(Storage::new(bytes_with_gaps(&layout, dtype)?)?, layout, dtype, None))
    }

    /// A tensor of the device meta, which has no elements.
    pub(crate) fn without_elements(layout: Layout, dtype: DType) -> Result<Tensor> {
        crate::memory::check()?;
        Ok(Tensor::build(Storage::meta(bytes_with_gaps(&layout, dtype)?), layout, dtype, None))
    }

    /// A meta tensor that lies as this one does.
    pub(crate) fn without_its_elements(&self) -> Result<Tensor> {
        crate::memory::check()?;
        let storage = Storage::meta(self.0.storage.nbytes());
        let mut t = Tensor::build(storage, self.layout().clone(), self.dtype(), None);
        if let Some(inner) = Arc::get_mut(&mut t.0) {
            inner.wrapped = self.0.wrapped;
        }
        Ok(t)
    }

    /// A tensor with this one's shape, dtype and order of memory on another device; elements are not copied.
    pub fn like_on(&self, device: Device) -> Result<Tensor> {
        let layout = self.layout().packed()?;
        match device {
            Device::Meta => Tensor::without_elements(layout, self.dtype()),
            Device::Cpu => Tensor::of_layout(layout, self.dtype()),
        }
    }

    /// An uninitialised tensor whose elements lie in storage as those of the dense `layout` do.
    pub(crate) fn empty_like_layout(layout: &Layout, dtype: DType) -> Result<Tensor> {
        let storage = Storage::new(bytes(layout, dtype)?)?;
        Ok(Tensor::build(storage, layout.counted_from(layout.offset()), dtype, None))
    }

    /// A tensor with every element `value`, converted as data is: callers with a number of the user's check it first.
    pub fn filled(shape: &[usize], value: Scalar, dtype: DType) -> Result<Tensor> {
        if device::current() == Device::Meta {
            return Tensor::without_elements(Layout::contiguous(shape)?, dtype);
        }
        let t = Tensor::empty_of(shape, dtype)?;
        // SAFETY: freshly allocated, `numel` elements of `dtype`.
        unsafe { copy::fill(t.data_ptr(), dtype, t.numel(), value) };
        Ok(t)
    }

    /// A plain number as a 0-d tensor that yields in type promotion.
    pub fn number(value: Scalar) -> Result<Tensor> {
        let dtype = match value {
            Scalar::Float(_) => DType::F64,
            Scalar::Complex(..) => DType::C128,
            s => s.dtype(),
        };
        // The last one of this thread serves again if nobody has kept it.
        NUMBER.with(|kept| {
            if let Some(mut last) = kept.take() {
                if let Some(inner) = Arc::get_mut(&mut last.0) {
                    if inner.meta.get().is_none() && Arc::get_mut(&mut inner.storage).is_some() {
                        inner.dtype = dtype;
                        // SAFETY: the storage holds 16 bytes, which is enough for one element, and nobody else knows it.
                        unsafe { copy::fill(inner.storage.ptr(), dtype, 1, value) };
                        let again = last.clone();
                        kept.put(last, end_number);
                        return Ok(again);
                    }
                }
            }
            let mut t = Tensor::build(Storage::new(16)?, Layout::contiguous(&[])?, dtype, None);
            if let Some(inner) = Arc::get_mut(&mut t.0) {
                inner.wrapped = true;
                inner.inference = false; // it may serve again outside of inference mode
            }
            // SAFETY: as above.
            unsafe { copy::fill(t.data_ptr(), dtype, 1, value) };
            kept.put(t.clone(), end_number);
            Ok(t)
        })
    }

    /// A tensor of `shape` with the elements of `data` in row-major order.
    pub fn from_slice<T: Elem>(data: &[T], shape: &[usize]) -> Result<Tensor> {
        let layout = Layout::contiguous(shape)?;
        if layout.numel() != data.len() {
            bail!(Shape, "shape {shape:?} holds {} elements, got {}", layout.numel(), data.len());
        }
        if device::current() == Device::Meta {
            return Tensor::without_elements(layout, T::DTYPE);
        }
        let t = Tensor::of_layout(layout, T::DTYPE)?;
        // SAFETY: both sides hold `data.len()` elements of T, and the new storage overlaps nothing.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), t.ptr::<T>(), data.len()) };
        Ok(t)
    }

    /// Takes the elements of this new tensor from `data`. Truth values become 0 or 1.
    ///
    /// # Safety
    /// The tensor is row-major and nobody else's; `data` holds its elements and does not overlap it.
    pub(crate) unsafe fn fill_from(&self, data: *const u8) {
        std::ptr::copy_nonoverlapping(data, self.data_ptr(), self.numel() * self.dtype().size());
        if self.dtype() == DType::Bool {
            copy::normalise(self.data_ptr(), self.numel());
        }
    }

    /// The elements in row-major order, converted to `T`.
    #[allow(clippy::disallowed_types, reason = "what Rust callers expect")]
    pub fn to_vec<T: Elem>(&self) -> Result<Vec<T>> {
        let n = self.numel();
        let mut out = List::<T>::with_room(n)?;
        // SAFETY: the vector has room for `n` elements, all of which are written.
        unsafe {
            self.read_into(out.as_mut_ptr().cast(), T::DTYPE)?;
            out.set_len(n);
        }
        Ok(out.into_vec())
    }

    /// Writes the elements to `p` in row-major order, converted to `dtype`.
    ///
    /// # Safety
    /// `p` has room for `numel` elements of `dtype` and does not overlap the storage.
    pub unsafe fn read_into(&self, p: *mut u8, dtype: DType) -> Result<()> {
        let _locks = Locks::take([(&*self.0.storage, false)].into_iter())?;
        copy::to_contiguous(self.base_ptr(), self.dtype(), self.layout(), p, dtype);
        if dtype == DType::Bool {
            copy::normalise(p, self.numel());
        }
        Ok(())
    }

    /// The only element, as a number.
    pub fn item(&self) -> Result<Scalar> {
        if self.numel() != 1 {
            bail!(Value, "item: a tensor with {} elements cannot be converted to a number", self.numel());
        }
        let _locks = Locks::take([(&*self.0.storage, false)].into_iter())?;
        let p = self.data_ptr();
        // SAFETY: one element lies at `p`.
        Ok(crate::dtype::dispatch_all!(self.dtype(), T => {
            let v = unsafe { p.cast::<T>().read_unaligned() };
            match self.dtype().category() {
                crate::dtype::Category::Bool => Scalar::Bool(v.truth()),
                crate::dtype::Category::Int => Scalar::Int(v.to_i64()),
                crate::dtype::Category::Float => Scalar::Float(v.to_f64()),
                crate::dtype::Category::Complex => Scalar::Complex(v.to_f64(), v.imaginary()),
            }
        }))
    }

    /// A tensor over the same storage with another layout.
    pub(crate) fn with_layout(&self, layout: Layout) -> Tensor {
        let base = self.0.base.clone().unwrap_or_else(|| self.clone());
        self.sharing(layout, Some(base))
    }

    /// A tensor over the same storage with elements of another dtype. Autograd does not see where it comes from, but that
    /// its elements change.
    pub(crate) fn seen_as(&self, layout: Layout, dtype: DType) -> Tensor {
        let mut t = Tensor::build(self.0.storage.clone(), layout, dtype, None);
        if let Some(inner) = Arc::get_mut(&mut t.0) {
            inner.inference = self.0.inference;
            inner.unrecorded = true;
        }
        self.counted_with(t)
    }

    /// `t`, of which changes are counted where those of this tensor are.
    fn counted_with(&self, mut t: Tensor) -> Tensor {
        if let Some(inner) = Arc::get_mut(&mut t.0) {
            inner.counter.clone_from(&self.0.counter);
        }
        t
    }

    /// The same elements without autograd history, and without its protection: backward does not notice what is changed
    /// through this tensor and views of it, if others have saved the elements. What `tensor.data` gives.
    pub fn data(&self) -> Tensor {
        let mut t = self.alias();
        if let Some(inner) = Arc::get_mut(&mut t.0) {
            inner.counter = Some(Arc::new(AtomicU64::new(0)));
        }
        t
    }

    /// The same elements without autograd history; in-place changes are seen by both.
    pub fn alias(&self) -> Tensor {
        self.sharing(self.0.layout.clone(), None)
    }

    /// Layout.
    #[inline(always)]
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }
    /// Sizes.
    #[inline(always)]
    pub fn shape(&self) -> &[usize] {
        self.0.layout.shape()
    }
    /// Sizes, owned.
    pub fn dims(&self) -> Dims {
        Dims::from_slice(self.shape())
    }
    /// Steps in elements.
    #[inline(always)]
    pub fn strides(&self) -> &[isize] {
        self.0.layout.strides()
    }
    /// Element type.
    #[inline(always)]
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }
    /// Number of dimensions.
    #[inline(always)]
    pub fn ndim(&self) -> usize {
        self.0.layout.ndim()
    }
    /// Number of elements.
    #[inline(always)]
    pub fn numel(&self) -> usize {
        self.0.layout.numel()
    }
    /// True if row-major without gaps.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.0.layout.is_contiguous()
    }
    /// Where it lives.
    pub fn device(&self) -> Device {
        if self.is_meta() {
            Device::Meta
        } else {
            Device::Cpu
        }
    }
    /// True if it has no elements.
    #[inline(always)]
    pub fn is_meta(&self) -> bool {
        self.0.storage.is_meta()
    }
    /// True if it shares another tensor's elements.
    pub fn is_view(&self) -> bool {
        self.0.base.is_some()
    }
    /// The tensor that this is a view of.
    pub fn base(&self) -> Option<&Tensor> {
        self.0.base.as_ref()
    }
    /// True if it was made in inference mode or looks into a tensor that was.
    pub fn is_inference(&self) -> bool {
        self.0.inference
    }
    /// Counts in-place changes of the elements, as far as backward is to notice them.
    pub fn version(&self) -> u64 {
        match &self.0.counter {
            None => self.0.storage.noticed(),
            Some(own) => own.load(Ordering::Acquire),
        }
    }
    /// Notes that somebody has changed the elements.
    #[inline]
    pub fn changed(&self) {
        match &self.0.counter {
            None => self.0.storage.bump(),
            Some(own) => {
                self.0.storage.bump_unnoticed();
                own.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
    /// True if both share one storage.
    pub fn shares_storage(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.0.storage, &other.0.storage)
    }
    /// True if there is memory that storages of both lie over: as [`Tensor::shares_storage`], or foreign memory that was
    /// taken twice.
    #[inline(always)]
    pub(crate) fn shares_memory(&self, other: &Tensor) -> bool {
        self.0.storage.meets(&other.0.storage)
    }
    /// True if both are one handle.
    pub fn is_same(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
    /// First byte of the storage.
    #[inline(always)]
    pub(crate) fn base_ptr(&self) -> *mut u8 {
        self.0.storage.ptr()
    }
    /// First element.
    #[inline(always)]
    pub fn data_ptr(&self) -> *mut u8 {
        // Within the storage, unless that has no bytes.
        self.0.storage.ptr().wrapping_add(self.0.layout.offset() * self.0.dtype.size())
    }
    /// First element, typed.
    #[inline(always)]
    pub(crate) fn ptr<T: Elem>(&self) -> *mut T {
        assert!(T::DTYPE == self.dtype(), "elements of {} read as {}", self.dtype(), T::DTYPE);
        self.data_ptr().cast()
    }
}

/// Bytes that the elements fill if they lie without gaps.
#[inline(always)]
pub(crate) fn bytes(layout: &Layout, dtype: DType) -> Result<usize> {
    bytes_of(layout, layout.numel(), dtype)
}

/// Bytes that the elements fill together with what lies between them.
#[inline(always)]
fn bytes_with_gaps(layout: &Layout, dtype: DType) -> Result<usize> {
    bytes_of(layout, layout.numel().max(layout.span()), dtype)
}

#[inline(always)]
fn bytes_of(layout: &Layout, count: usize, dtype: DType) -> Result<usize> {
    let bytes = count.checked_mul(dtype.size()).filter(|&b| b <= isize::MAX as usize);
    bytes.ok_or_else(|| err!(Memory, "shape {:?} is too large", layout.shape()))
}

/// True if all elements lie in the storage.
fn is_inside(storage: &Storage, layout: &Layout, dtype: DType) -> bool {
    layout.offset() + layout.span() <= storage.nbytes() / dtype.size()
}

/// A view that steps through another tensor's storage must stay inside it.
pub(crate) fn check_bounds(storage: &Storage, layout: &Layout, dtype: DType) -> Result<()> {
    if !is_inside(storage, layout, dtype) {
        bail!(
            Value,
            "sizes {:?}, strides {:?} and offset {} reach outside of a storage of {} elements",
            layout.shape(),
            layout.strides(),
            layout.offset(),
            storage.nbytes() / dtype.size()
        )
    }
    Ok(())
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor(shape={:?}, dtype={}", self.shape(), self.dtype())?;
        if self.numel() <= 32 {
            match self.to_vec::<f64>() {
                Ok(v) => write!(f, ", {v:?}")?,
                Err(e) => write!(f, ", <{e}>")?,
            }
        }
        f.write_str(")")
    }
}
