/* The part of rustorch._ffi that cffi cannot write: classes whose objects own a handle, and the doors through which the
   library calls Python. It stands before the wrappers that cffi generates, some of whose macros it replaces. */
#include <stddef.h>
#include <string.h>
#include <structmember.h>
#ifndef _WIN32
#include <pthread.h>
#include <unistd.h>
#endif

static rt_status py_on_hook(void *, const struct rt_tensor *, struct rt_tensor **);
static rt_status py_on_backward(void *, const struct rt_tensor *const *, size_t, const struct rt_tensor *const *, size_t,
                                struct rt_tensor **, size_t);
static rt_status py_on_node(void *, const struct rt_tensor *const *, size_t, const struct rt_tensor *const *, size_t, bool *,
                            struct rt_tensor **);
static rt_status py_on_pack(void *, const struct rt_tensor *, void **);
static rt_status py_on_unpack(void *, struct rt_tensor **);

static struct rt_scalar number(int32_t kind, int64_t i, double f) {
  struct rt_scalar s;
  s.kind = kind;
  if (kind == RT_SCALAR_FLOAT) s.value.f = f;
  else if (kind == RT_SCALAR_COMPLEX) { /* the whole number holds the bits of the imaginary part */
    s.value.c.re = f;
    memcpy(&s.value.c.im, &i, sizeof f);
  } else s.value.i = i;
  return s;
}

/* ---- calls under way ----
   While a thread is inside the library, what the handles own may change under the collector's eyes. The count is changed
   with the GIL held, before it is released, so it is exact for whoever holds the GIL. */
#ifdef Py_GIL_DISABLED
static _Atomic Py_ssize_t in_flight;
#else
static Py_ssize_t in_flight;
#endif
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS { PyThreadState *_save; in_flight++; _save = PyEval_SaveThread();
#define Py_END_ALLOW_THREADS PyEval_RestoreThread(_save); in_flight--; }

/* ---- the way into Python ----
   A thread that asks for the GIL of an interpreter that has begun to shut down is ended by pthread_exit, which would unwind
   the library's frames below and abort the process. It stops here instead, for the little time that the process has left. */
#ifdef _WIN32
#define ENTER_PYTHON {
#define LEAVE_PYTHON }
#else
static __thread int callbacks; /* of this thread, under way */
static void stop(void *unused) {
  (void)unused;
  for (;;) pause();
}
#define ENTER_PYTHON callbacks++; pthread_cleanup_push(stop, NULL)
#define LEAVE_PYTHON pthread_cleanup_pop(0); callbacks--;

/* A forked child has only the thread that forked, which is its main thread now. */
static int32_t interrupted(void);
static void only_thread(void) {
  in_flight = callbacks;
  rt_set_interrupt_check(interrupted);
}
#endif

/* Gives back a reference that the library held; callable from any thread, and a no-op once the interpreter is gone. */
static void py_release(void *object) {
  if (!Py_IsInitialized()) return;
  ENTER_PYTHON
  PyGILState_STATE state = PyGILState_Ensure();
  Py_DecRef((PyObject *)object);
  PyGILState_Release(state);
  LEAVE_PYTHON
}

static uintptr_t py_keep(uintptr_t object) {
  PyGILState_STATE state = PyGILState_Ensure();
  Py_IncRef((PyObject *)object);
  PyGILState_Release(state);
  return object;
}

static rt_status call_hook(void *ctx, const struct rt_tensor *grad, struct rt_tensor **replacement) {
  rt_status status = RT_ERR_CALLBACK;
  ENTER_PYTHON
  status = py_on_hook(ctx, grad, replacement);
  LEAVE_PYTHON
  return status;
}

static rt_status call_backward(void *ctx, const struct rt_tensor *const *grads, size_t grads_len,
                               const struct rt_tensor *const *saved, size_t saved_len, struct rt_tensor **out,
                               size_t out_len) {
  rt_status status = RT_ERR_CALLBACK;
  ENTER_PYTHON
  status = py_on_backward(ctx, grads, grads_len, saved, saved_len, out, out_len);
  LEAVE_PYTHON
  return status;
}

static rt_status call_node_hook(void *ctx, const struct rt_tensor *const *ins, size_t ins_len,
                                const struct rt_tensor *const *outs, size_t outs_len, bool *replaced,
                                struct rt_tensor **replacements) {
  rt_status status = RT_ERR_CALLBACK;
  ENTER_PYTHON
  status = py_on_node(ctx, ins, ins_len, outs, outs_len, replaced, replacements);
  LEAVE_PYTHON
  return status;
}

static rt_status call_pack(void *ctx, const struct rt_tensor *tensor, void **packed) {
  rt_status status = RT_ERR_CALLBACK;
  ENTER_PYTHON
  status = py_on_pack(ctx, tensor, packed);
  LEAVE_PYTHON
  return status;
}

static rt_status call_unpack(void *packed, struct rt_tensor **out) {
  rt_status status = RT_ERR_CALLBACK;
  ENTER_PYTHON
  status = py_on_unpack(packed, out);
  LEAVE_PYTHON
  return status;
}

/* `hook` is a Python object that is called around each run of the node. */
static rt_status py_register_node(struct rt_node *node, uintptr_t hook, bool before, uint64_t *id) {
  void *ctx = (void *)py_keep(hook);
  rt_status status = rt_node_register_hook(node, before, call_node_hook, ctx, py_release, id);
  if (status != RT_OK) py_release(ctx);
  return status;
}

/* `hooks` is a Python object with methods that pack and unpack what this thread saves for backward. */
static rt_status py_push_saved_hooks(uintptr_t hooks) {
  return rt_saved_hooks_push(call_pack, call_unpack, py_release, (void *)py_keep(hooks), py_release);
}

/* `hook` is a Python object; with `after` it is called when the gradient has been added. */
static rt_status py_register(struct rt_tensor *tensor, uintptr_t hook, bool after, uint64_t *id) {
  void *ctx = (void *)py_keep(hook);
  rt_status status = after ? rt_tensor_register_post_accumulate_grad_hook(tensor, call_hook, ctx, py_release, id)
                           : rt_tensor_register_hook(tensor, call_hook, ctx, py_release, id);
  if (status != RT_OK) py_release(ctx);
  return status;
}

/* ---- objects that own a handle ----
   They free it in C: a finalizer in Python could be struck by a KeyboardInterrupt, which would be lost. And they show the
   collector the hooks and contexts that only their handle keeps alive, so that cycles through these are found. */
typedef struct {
  PyObject_HEAD
  PyObject *h; /* cffi's pointer */
} Owner;

static PyObject *null_pointer; /* ffi.NULL */
static PyTypeObject *pointer_class;
static struct _cffi_ctypedescr *pointer_types[3];
static PyTypeObject *owner_classes[3];

/* What the pointer leads to. Types were compared, so the conversion cannot fail (and set an exception). */
static void *handle(PyObject *h, int kind) {
  if (h == NULL || h == null_pointer || Py_TYPE(h) != pointer_class) return NULL;
  return _cffi_to_c_pointer(h, pointer_types[kind]);
}

static void free_handle(void *handle, int kind) {
  switch (kind) {
    case 0: rt_tensor_free(handle); break;
    case 1: rt_node_free(handle); break;
    default: rt_generator_free(handle);
  }
}

struct visit { visitproc visit; void *arg; };

static int32_t visit_context(void *ctx, void *arg) {
  struct visit *v = arg;
  return v->visit((PyObject *)ctx, v->arg);
}

static int traverse(PyObject *self, visitproc visit, void *arg, int kind) {
  PyObject *h = ((Owner *)self)->h;
  struct visit v;
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(h);
  if (in_flight || kind > 1) return 0;
  v.visit = visit;
  v.arg = arg;
  return kind == 0 ? rt_tensor_visit_contexts(handle(h, kind), py_release, visit_context, &v)
                   : rt_node_visit_contexts(handle(h, kind), py_release, visit_context, &v);
}

/* A pointer may be held by more than its owner: by a call under way whose argument another thread, or a later argument, has
   replaced. Its handle then lives until the last holder lets go of it. */
struct held {
  void *handle;
  int kind;
  PyObject *ref; /* a weak one to the pointer */
};

static PyObject *nobody_holds(PyObject *self, PyObject *ref) {
  struct held *held = PyCapsule_GetPointer(self, NULL);
  (void)ref;
  if (held) {
    PyObject *own = held->ref;
    free_handle(held->handle, held->kind);
    PyMem_Free(held);
    Py_XDECREF(own);
  }
  Py_RETURN_NONE;
}
static PyMethodDef nobody_holds_def = {"nobody_holds", nobody_holds, METH_O, NULL};

static void let_go(PyObject *h, int kind) {
  void *p = handle(h, kind);
  if (p != NULL && Py_REFCNT(h) > 1) {
    PyObject *type, *value, *traceback, *capsule = NULL, *call = NULL;
    struct held *held = PyMem_Malloc(sizeof *held);
    PyErr_Fetch(&type, &value, &traceback);
    if (held) {
      held->handle = p;
      held->kind = kind;
      held->ref = NULL;
      capsule = PyCapsule_New(held, NULL, NULL);
      call = capsule ? PyCFunction_NewEx(&nobody_holds_def, capsule, NULL) : NULL;
      /* Without memory for it the handle is lost, which is better than freed. */
      held->ref = call ? PyWeakref_NewRef(h, call) : NULL;
    }
    Py_XDECREF(capsule);
    Py_XDECREF(call);
    PyErr_Restore(type, value, traceback);
  } else {
    free_handle(p, kind);
  }
  Py_DECREF(h);
}

static void drop(PyObject *self, PyObject *instead, int kind) {
  PyObject *h = ((Owner *)self)->h;
  if (instead) Py_INCREF(instead);
  ((Owner *)self)->h = instead;
  if (h != NULL) let_go(h, kind);
}

static void destroy(PyObject *self, int kind) {
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  drop(self, NULL, kind);
  PyObject_GC_Del(self);
  Py_DECREF(type);
}

static PyMemberDef members[] = {{"_h", T_OBJECT_EX, offsetof(Owner, h), 0, NULL}, {NULL, 0, 0, 0, NULL}};

#define OWNER(name, kind)                                                                                              \
  static int name##_traverse(PyObject *self, visitproc v, void *arg) { return traverse(self, v, arg, kind); }          \
  static int name##_clear(PyObject *self) { drop(self, null_pointer, kind); return 0; }                                \
  static void name##_dealloc(PyObject *self) { destroy(self, kind); }                                                  \
  static PyType_Slot name##_slots[] = {{Py_tp_traverse, (void *)name##_traverse},                                      \
                                       {Py_tp_clear, (void *)name##_clear},                                            \
                                       {Py_tp_dealloc, (void *)name##_dealloc},                                        \
                                       {Py_tp_members, members},                                                       \
                                       {0, NULL}};                                                                     \
  static PyType_Spec name##_spec = {"rustorch._ffi." #name, sizeof(Owner), 0,                                          \
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, name##_slots};

OWNER(TensorOwner, 0)
OWNER(NodeOwner, 1)
OWNER(GeneratorOwner, 2)

/* ---- lists of tensors ----
   A list of Tensors is one argument of a shim, after all that are no lists. It is copied first, and the copy lives until the
   call is over: the list may hold the only references, and another thread may change it, or a tensor's handle, meanwhile. */
struct py_list {
  const struct rt_tensor *const *at;
  size_t len;
};
static struct _cffi_ctypedescr *list_type; /* a pointer to it */

/* Memory of one argument, until the call is over. All arrays come here, so that they are freed in one way. */
struct argument {
  struct _cffi_freeme_s *next;
  PyObject *items; /* the tuple of a list, or NULL */
  PyObject **held; /* the pointers of its tensors, NULL behind the last one */
  union _cffi_union_alignment_u data;
};

static PyTypeObject *tensor_class;
static PyObject *own_handle;     /* how objects show their handle, if their class has no other way */
static PyTypeObject *like_plain; /* the last class besides Tensor that has none */

/* Whether the object shows its handle to an op: see overrides.py. The exception is set if not. */
static bool shows(PyObject *t) {
  PyObject *h;
  if (Py_TYPE(t) == tensor_class || Py_TYPE(t) == like_plain) return true;
  h = PyObject_GetAttrString((PyObject *)Py_TYPE(t), "_h");
  Py_XDECREF(h);
  if (h == own_handle) {
    Py_INCREF((PyObject *)Py_TYPE(t));
    Py_XDECREF((PyObject *)like_plain);
    like_plain = Py_TYPE(t);
    return true;
  }
  h = h ? PyObject_GetAttrString(t, "_h") : NULL;
  Py_XDECREF(h);
  return h != NULL;
}

static int fill(PyObject *items, const struct rt_tensor **to, PyObject **held, Py_ssize_t n) {
  Py_ssize_t i;
  for (i = 0; i < n; i++) {
    PyObject *t = PyTuple_GetItem(items, i); /* borrowed */
    to[i] = NULL;
    if (t == Py_None) continue;
    if (!PyObject_TypeCheck(t, owner_classes[0])) {
      PyErr_SetString(PyExc_TypeError, "expected a sequence of Tensors");
      return -1;
    }
    to[i] = handle(((Owner *)t)->h, 0);
    if (to[i] == NULL) {
      PyErr_SetString(PyExc_TypeError, "a Tensor in the sequence was never initialised");
      return -1;
    }
    if (!shows(t)) return -1;
    *held = ((Owner *)t)->h;
    Py_INCREF(*held++);
  }
  return 0;
}

static void free_arguments(struct _cffi_freeme_s *chain) {
  while (chain) {
    struct argument *own = (struct argument *)chain;
    chain = own->next;
    if (own->items) {
      PyObject **h;
      for (h = own->held; *h; h++) Py_DECREF(*h);
      Py_DECREF(own->items);
    }
    PyObject_Free(own);
  }
}

static int convert(struct _cffi_ctypedescr *type, PyObject *arg, char **to, Py_ssize_t size,
                   struct _cffi_freeme_s **chain) {
  struct argument *own;
  PyObject *items = NULL;
  Py_ssize_t n = 0;
  bool list = type == list_type;
  if (size < 0) return -1;
  if (list) {
    items = PySequence_Tuple(arg);
    if (items == NULL) return -1;
    n = PyTuple_Size(items);
    size = (2 * n + 1) * (Py_ssize_t)sizeof(void *);
  }
  if (list || *to == NULL) {
    own = PyObject_Malloc(sizeof(struct argument) + (size_t)size);
    if (own == NULL) {
      Py_XDECREF(items);
      PyErr_NoMemory();
      return -1;
    }
    own->next = *chain;
    own->items = items;
    *chain = (struct _cffi_freeme_s *)own;
    memset(&own->data, 0, (size_t)size);
    if (list) {
      struct py_list *given = (struct py_list *)*to;
      const struct rt_tensor **handles = (const struct rt_tensor **)&own->data;
      given->at = handles;
      given->len = (size_t)n;
      own->held = (PyObject **)(handles + n);
      return fill(items, handles, own->held, n);
    }
    *to = (char *)&own->data;
  } else {
    memset(*to, 0, (size_t)size);
  }
  return _cffi_convert_array_from_object(*to, type, arg);
}

/* The wrappers that cffi generates free nothing when an argument is refused. */
static int convert_argument(struct _cffi_ctypedescr *type, PyObject *arg, char **to, Py_ssize_t size,
                            struct _cffi_freeme_s **chain) {
  if (convert(type, arg, to, size, chain) == 0) return 0;
  if (*chain) { /* the finalizers of what is freed must not see the exception */
    PyObject *kind, *value, *traceback;
    PyErr_Fetch(&kind, &value, &traceback);
    free_arguments(*chain);
    *chain = NULL;
    PyErr_Restore(kind, value, traceback);
  }
  return -1;
}

static Py_ssize_t prepare_argument(struct _cffi_ctypedescr *type, PyObject *arg, char **to) {
  return type == list_type ? (Py_ssize_t)sizeof(struct py_list) : _cffi_prepare_pointer_call_argument(type, arg, to);
}
#undef _cffi_prepare_pointer_call_argument
#define _cffi_prepare_pointer_call_argument(type, arg, to) prepare_argument(type, arg, to)
#define _cffi_convert_array_argument(type, arg, to, size, chain) convert_argument(type, arg, to, size, chain)
#define _cffi_free_array_arguments(chain) free_arguments(chain)

/* `frame` is the Python object that the backward of a custom function is called with. */
static rt_status py_record(const char *name, uintptr_t frame, const struct py_list *inputs, const struct py_list *outputs,
                           const struct py_list *saved) {
  return rt_custom_function(name, call_backward, (void *)py_keep(frame), py_release, inputs->at, inputs->len, outputs->at,
                            outputs->len, saved->at, saved->len);
}

/* ---- results ----
   Those of the shims reach Python as tensors. A handle by itself would be lost if an interrupt came before an object has it. */
struct py_tensor;
struct py_tensors {
  struct rt_tensor_list *list; /* or NULL, and */
  size_t len;
  struct rt_tensor *tensors[3];
};
#ifdef _WIN32
static __declspec(thread) struct py_tensors results;
#else
static __thread struct py_tensors results; /* of the last call of this thread that has several */
#endif
/* Filled when the call is over: callbacks may have made others meanwhile. */
static struct py_tensors *tensors_in(struct rt_tensor_list *list) {
  results.list = list;
  return &results;
}
static struct py_tensors *tensors_at(struct rt_tensor *const *tensors, size_t len) {
  results.list = NULL;
  results.len = len;
  memcpy(results.tensors, tensors, len * sizeof *tensors);
  return &results;
}
static struct _cffi_ctypedescr *result_types[2]; /* pointers to the two */
static newfunc new_object;
static PyObject *no_arguments;

static PyObject *tensor_of(struct rt_tensor *h) {
  PyObject *pointer = _cffi_from_c_pointer((char *)h, pointer_types[0]);
  PyObject *t = pointer ? new_object(tensor_class, no_arguments, NULL) : NULL;
  if (t == NULL) {
    Py_XDECREF(pointer);
    rt_tensor_free(h);
    return NULL;
  }
  ((Owner *)t)->h = pointer;
  return t;
}

static PyObject *tensors_of(struct py_tensors *all) {
  struct py_tensors own = *all; /* what is freed below may make calls of its own */
  size_t i, n = own.list ? rt_tensor_list_len(own.list) : own.len;
  PyObject *tuple = PyTuple_New((Py_ssize_t)n);
  for (i = 0; i < n; i++) {
    struct rt_tensor *h = NULL;
    PyObject *t;
    if (!own.list) h = own.tensors[i];
    else if (tuple) rt_tensor_list_get(own.list, i, &h);
    if (!tuple) {
      rt_tensor_free(h);
      continue;
    }
    t = h ? tensor_of(h) : PyErr_NoMemory();
    if (t) PyTuple_SetItem(tuple, (Py_ssize_t)i, t);
    else Py_CLEAR(tuple);
  }
  rt_tensor_list_free(own.list);
  return tuple;
}

static PyObject *result_of(char *p, struct _cffi_ctypedescr *type) {
  if (type != result_types[0] && type != result_types[1]) return _cffi_from_c_pointer(p, type);
  if (p == NULL) Py_RETURN_NONE;
  return type == result_types[0] ? tensor_of((struct rt_tensor *)p) : tensors_of((struct py_tensors *)p);
}
#undef _cffi_from_c_pointer
#define _cffi_from_c_pointer(p, type) result_of(p, type)

static void py_tensor_class(uintptr_t class_) {
  PyGILState_STATE state = PyGILState_Ensure();
  tensor_class = (PyTypeObject *)class_;
  Py_INCREF((PyObject *)tensor_class);
  new_object = (newfunc)PyType_GetSlot(&PyBaseObject_Type, Py_tp_new);
  no_arguments = PyTuple_New(0);
  PyGILState_Release(state);
}

/* Another object of a tensor. */
static struct py_tensor *py_retain(const struct rt_tensor *tensor) { return (struct py_tensor *)rt_tensor_retain(tensor); }

/* A handle for the library. */
static void py_hand(const struct rt_tensor *tensor, struct rt_tensor **to) { *to = rt_tensor_retain(tensor); }

/* Swaps the handles of two owners of the same kind, given by id. */
static void py_swap(uintptr_t one, uintptr_t other) {
  PyGILState_STATE state = PyGILState_Ensure();
  PyObject *h = ((Owner *)one)->h;
  ((Owner *)one)->h = ((Owner *)other)->h;
  ((Owner *)other)->h = h;
  PyGILState_Release(state);
}

static int watch(void *unused);

/* Puts the three classes into the list `classes`. The other arguments are ids of ffi.NULL and of the pointers' ctypes. */
static bool py_start(uintptr_t classes, uintptr_t null, uintptr_t tensor, uintptr_t node, uintptr_t generator, uintptr_t one,
                     uintptr_t several, uintptr_t list) {
  PyType_Spec *specs[] = {&TensorOwner_spec, &NodeOwner_spec, &GeneratorOwner_spec};
  uintptr_t types[] = {tensor, node, generator};
  bool done = true;
  int i;
  PyGILState_STATE state = PyGILState_Ensure();
  null_pointer = (PyObject *)null;
  Py_INCREF(null_pointer);
  pointer_class = Py_TYPE(null_pointer);
  for (i = 0; i < 3 && done; i++) {
    /* Made once: a package that is imported anew must know the tensors of the old one. */
    if (owner_classes[i] == NULL) owner_classes[i] = (PyTypeObject *)PyType_FromSpec(specs[i]);
    Py_INCREF((PyObject *)types[i]);
    pointer_types[i] = (struct _cffi_ctypedescr *)types[i];
    done = owner_classes[i] != NULL && PyList_Append((PyObject *)classes, (PyObject *)owner_classes[i]) == 0;
  }
  if (done && own_handle == NULL) own_handle = PyObject_GetAttrString((PyObject *)owner_classes[0], "_h");
  Py_INCREF((PyObject *)one);
  Py_INCREF((PyObject *)several);
  result_types[0] = (struct _cffi_ctypedescr *)one;
  result_types[1] = (struct _cffi_ctypedescr *)several;
  Py_INCREF((PyObject *)list);
  list_type = (struct _cffi_ctypedescr *)list;
  PyErr_Clear();
  Py_AddPendingCall(watch, NULL); /* on the main thread, whichever imports us */
  PyGILState_Release(state);
#ifndef _WIN32
  {
    static bool once;
    if (!once) pthread_atfork(NULL, NULL, only_thread);
    once = true;
  }
#endif
  return done;
}

/* ---- signals ----
   In long calls of the main thread, where signals are handled, the library asks from time to time whether to go on. */
static PyObject *raised;

static int32_t interrupted(void) {
  int32_t stop_now = 0;
  if (!Py_IsInitialized()) return 0;
  ENTER_PYTHON
  PyGILState_STATE state = PyGILState_Ensure();
  if (PyErr_CheckSignals() != 0) {
    PyObject *type, *value, *traceback, *before = raised;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback && value) PyException_SetTraceback(value, traceback);
    raised = value;
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    Py_XDECREF(before);
    stop_now = 1;
  }
  PyGILState_Release(state);
  LEAVE_PYTHON
  return stop_now;
}

static int watch(void *unused) {
  (void)unused;
  rt_set_interrupt_check(interrupted);
  return 0;
}

/* Moves the exception that ended the last call into the list `into`. */
static void py_raised(uintptr_t into) {
  PyGILState_STATE state = PyGILState_Ensure();
  if (raised) {
    PyList_Append((PyObject *)into, raised);
    Py_DECREF(raised);
    raised = NULL;
  }
  PyGILState_Release(state);
}

/* ---- memory of others ---- */

/* A tensor over the memory of a Python object, which stays alive as long as the tensor's storage. */
static struct py_tensor *py_from_object(uintptr_t object, void *data, const int64_t *shape, const int64_t *strides,
                                        size_t ndim, int32_t dtype) {
  struct rt_tensor *out = NULL;
  py_keep(object);
  if (rt_tensor_from_blob(data, shape, strides, ndim, dtype, py_release, (void *)object, &out) != RT_OK)
    py_release((void *)object);
  return (struct py_tensor *)out;
}

/* The destructor of a DLPack capsule that nobody has consumed. */
static void capsule_destructor(PyObject *capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
    rt_dlpack_free(PyCapsule_GetPointer(capsule, "dltensor_versioned"), true);
  } else if (PyCapsule_IsValid(capsule, "dltensor")) {
    rt_dlpack_free(PyCapsule_GetPointer(capsule, "dltensor"), false);
  }
}

static uintptr_t py_capsule_destructor(void) { return (uintptr_t)capsule_destructor; }
