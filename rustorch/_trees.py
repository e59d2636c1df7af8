"""Trees: containers of containers, taken apart into leaves and a description, and put together again."""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "Context", "GetAttrKey", "LeafSpec", "MappingKey", "PyTree", "SequenceKey", "TreeSpec", "keystr",
    "register_pytree_node",
    "tree_all", "tree_any", "tree_flatten", "tree_flatten_with_path", "tree_iter", "tree_leaves",
    "tree_map", "tree_map_", "tree_map_only",
    "tree_map_with_path", "tree_structure", "tree_unflatten", "treespec_dumps",
    "treespec_loads",
]  # fmt: skip

Context = Any
PyTree = Any


class SequenceKey(NamedTuple):
    """A place in a sequence."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


class MappingKey(NamedTuple):
    """A place in a mapping."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


class GetAttrKey(NamedTuple):
    """An attribute."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


class NodeDef(NamedTuple):
    """How containers of a type are taken apart and put together."""

    type: Any
    flatten_fn: Callable[[Any], tuple[list[Any], Any]]
    unflatten_fn: Callable[[Iterable[Any], Any], Any]
    flatten_with_keys_fn: Callable[[Any], tuple[list[tuple[Any, Any]], Any]] | None


SUPPORTED_NODES: dict[Any, NodeDef] = {}
SERIALIZED: dict[str, tuple[Any, Any, Any]] = {}


def register_pytree_node(
    cls: Any,
    flatten_fn: Any,
    unflatten_fn: Any,
    *,
    serialized_type_name: str | None = None,
    to_dumpable_context: Any = None,
    from_dumpable_context: Any = None,
    flatten_with_keys_fn: Any = None,
    **_: Any,
) -> None:
    """Makes a class a container: `flatten_fn(c)` gives parts and a context, `unflatten_fn(parts, context)` it again."""
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn, flatten_with_keys_fn)
    name = serialized_type_name or f"{cls.__module__}.{cls.__qualname__}"
    SERIALIZED[name] = (cls, to_dumpable_context, from_dumpable_context)


_register_pytree_node = register_pytree_node


def _is_namedtuple(cls: type) -> bool:
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def _keyed(d: Any, flattened: tuple[list[Any], Any]) -> tuple[list[tuple[Any, Any]], Any]:
    values, context = flattened
    return [(MappingKey(k), v) for k, v in zip(d, values)], context


def _list_flatten(d: Any) -> tuple[list[Any], Any]:
    return list(d), None


def _list_flatten_with_keys(d: Any) -> tuple[list[tuple[Any, Any]], Any]:
    return [(SequenceKey(i), v) for i, v in enumerate(d)], None


def _list_unflatten(values: Iterable[Any], context: Any) -> list[Any]:
    return list(values)


def _tuple_unflatten(values: Iterable[Any], context: Any) -> tuple[Any, ...]:
    return tuple(values)


def _dict_flatten(d: Any) -> tuple[list[Any], Any]:
    return list(d.values()), list(d)


def _dict_flatten_with_keys(d: Any) -> tuple[list[tuple[Any, Any]], Any]:
    return _keyed(d, _dict_flatten(d))


def _dict_unflatten(values: Iterable[Any], context: Any) -> dict[Any, Any]:
    return dict(zip(context, values))


def _namedtuple_flatten(d: Any) -> tuple[list[Any], Any]:
    return list(d), type(d)


def _namedtuple_flatten_with_keys(d: Any) -> tuple[list[tuple[Any, Any]], Any]:
    return [(GetAttrKey(k), v) for k, v in zip(type(d)._fields, d)], type(d)


def _defaultdict_flatten(d: Any) -> tuple[list[Any], Any]:
    return list(d.values()), [d.default_factory, list(d)]


def _deque_flatten(d: Any) -> tuple[list[Any], Any]:
    return list(d), d.maxlen


register_pytree_node(list, _list_flatten, _list_unflatten, flatten_with_keys_fn=_list_flatten_with_keys)
register_pytree_node(tuple, _list_flatten, _tuple_unflatten, flatten_with_keys_fn=_list_flatten_with_keys)
register_pytree_node(dict, _dict_flatten, _dict_unflatten, flatten_with_keys_fn=_dict_flatten_with_keys)
register_pytree_node(
    OrderedDict, _dict_flatten, lambda v, c: OrderedDict(zip(c, v)), flatten_with_keys_fn=_dict_flatten_with_keys
)
register_pytree_node(
    defaultdict,
    _defaultdict_flatten,
    lambda v, c: defaultdict(c[0], zip(c[1], v)),
    flatten_with_keys_fn=lambda d: _keyed(d, _defaultdict_flatten(d)),
)
register_pytree_node(
    deque,
    _deque_flatten,
    lambda v, c: deque(v, maxlen=c),
    flatten_with_keys_fn=lambda d: (_list_flatten_with_keys(d)[0], d.maxlen),
)
# As in PyTorch, what makes the classes stands for all of them; the context says which one it is.
register_pytree_node(
    namedtuple, _namedtuple_flatten, lambda v, c: c(*v), flatten_with_keys_fn=_namedtuple_flatten_with_keys
)
_DICTS = (dict, OrderedDict, defaultdict)


def _node(tree: Any, is_leaf: Callable[[Any], bool] | None) -> NodeDef | None:
    """How a container is taken apart; None for a leaf."""
    if is_leaf is not None and is_leaf(tree):
        return None
    cls = type(tree)
    return SUPPORTED_NODES.get(cls) or (SUPPORTED_NODES[namedtuple] if _is_namedtuple(cls) else None)


class TreeSpec:
    """The description of a tree: the type of the container, its context, and the descriptions of its parts."""

    def __init__(self, type: Any, context: Any, children_specs: list[TreeSpec]) -> None:
        self.type = type
        self.context = context
        self.children_specs = children_specs
        self.num_nodes: int = 1 + sum(c.num_nodes for c in children_specs)
        self.num_leaves: int = sum(c.num_leaves for c in children_specs)
        self.num_children = len(children_specs)

    def is_leaf(self) -> bool:
        """True for the description of a leaf."""
        return False

    def children(self) -> list[TreeSpec]:
        """The descriptions of the parts."""
        return list(self.children_specs)

    def child(self, index: int) -> TreeSpec:
        """The description of one part."""
        return self.children_specs[index]

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The tree with these leaves."""
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(f"treespec.unflatten: wanted {self.num_leaves} leaves, got {len(leaves)}")
        return self._build(iter(leaves))

    def _build(self, leaves: Any) -> Any:
        return SUPPORTED_NODES[self.type].unflatten_fn([c._build(leaves) for c in self.children_specs], self.context)

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """The parts of a tree that stand where this one has leaves."""
        node = _node(tree, None)
        kind = None if node is None else node.type
        if node is None or (kind is not self.type and not (kind in _DICTS and self.type in _DICTS)):
            raise ValueError(f"Type mismatch: wanted {self.type}, got {type(tree)}")
        parts, context = node.flatten_fn(tree)
        if len(parts) != self.num_children:
            raise ValueError(f"Node arity mismatch: wanted {self.num_children}, got {len(parts)}")
        if self.type in _DICTS:  # any of these goes with any other, in any order
            wanted = self.context[1] if self.type is defaultdict else self.context
            if set(tree) != set(wanted):
                raise ValueError(f"Node keys mismatch: wanted {wanted}, got {list(tree)}")
            parts = [tree[k] for k in wanted]
        elif self.type is not deque and context != self.context:
            raise ValueError(f"Node context mismatch: wanted {self.context}, got {context}")
        return [leaf for c, part in zip(self.children_specs, parts) for leaf in c.flatten_up_to(part)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeSpec) and (self.type, self.context, self.children_specs) == (
            other.type,
            other.context,
            other.children_specs,
        )

    def __hash__(self) -> int:
        return hash((self.type, self.num_nodes, self.num_leaves))

    def __repr__(self) -> str:
        return f"TreeSpec({self.type.__name__}, {self.context}, {self.children_specs})"


class LeafSpec(TreeSpec):
    """The description of a leaf."""

    def __init__(self) -> None:
        super().__init__(None, None, [])
        self.num_leaves = 1

    def is_leaf(self) -> bool:
        """True."""
        return True

    def _build(self, leaves: Any) -> Any:
        return next(leaves)

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """The tree itself."""
        return [tree]

    def __repr__(self) -> str:
        return "*"


def _flatten(tree: Any, leaves: list[Any], is_leaf: Any) -> TreeSpec:
    node = _node(tree, is_leaf)
    if node is None:
        leaves.append(tree)
        return LeafSpec()
    parts, context = node.flatten_fn(tree)
    return TreeSpec(node.type, context, [_flatten(p, leaves, is_leaf) for p in parts])


def tree_flatten(tree: Any, is_leaf: Any = None) -> tuple[list[Any], TreeSpec]:
    """The leaves of a tree, and its description."""
    leaves: list[Any] = []
    spec = _flatten(tree, leaves, is_leaf)
    return leaves, spec


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """The tree with these leaves."""
    return treespec.unflatten(leaves)


def tree_leaves(tree: Any, is_leaf: Any = None) -> list[Any]:
    """The leaves."""
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: Any, is_leaf: Any = None) -> Any:
    """The leaves, one after the other."""
    return iter(tree_leaves(tree, is_leaf))


def tree_structure(tree: Any, is_leaf: Any = None) -> TreeSpec:
    """The description."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Any, tree: Any, *rests: Any, is_leaf: Any = None) -> Any:
    """The tree of what `func` makes of the leaves (and of those at the same places of other trees)."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [spec.flatten_up_to(r) for r in rests]
    return spec.unflatten([func(*each) for each in zip(leaves, *others)])


def tree_map_(func: Any, tree: Any, *rests: Any, is_leaf: Any = None) -> Any:
    """Calls `func` on the leaves; gives the tree as it is."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def _wanted(kinds: Any) -> Any:
    return kinds if callable(kinds) and not isinstance(kinds, type) else lambda v: isinstance(v, kinds)


def tree_map_only(type_or_types_or_pred: Any, func: Any, tree: Any, is_leaf: Any = None) -> Any:
    """`tree_map` on leaves of some types (or for which a function is true); others stay."""
    wanted = _wanted(type_or_types_or_pred)
    return tree_map(lambda v: func(v) if wanted(v) else v, tree, is_leaf=is_leaf)


def tree_all(pred: Any, tree: Any, is_leaf: Any = None) -> bool:
    """True if `pred` is, of all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Any, tree: Any, is_leaf: Any = None) -> bool:
    """True if `pred` is, of one leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def _with_path(tree: Any, path: tuple[Any, ...], is_leaf: Any) -> list[tuple[tuple[Any, ...], Any]]:
    node = _node(tree, is_leaf)
    if node is None:
        return [(path, tree)]
    if node.flatten_with_keys_fn is None:
        raise ValueError(f"Did not find a flatten_with_keys_fn for type: {type(tree)}")
    parts, _ = node.flatten_with_keys_fn(tree)
    return [found for key, part in parts for found in _with_path(part, (*path, key), is_leaf)]


def tree_flatten_with_path(tree: Any, is_leaf: Any = None) -> tuple[list[tuple[tuple[Any, ...], Any]], TreeSpec]:
    """The leaves with their places, and the description."""
    return _with_path(tree, (), is_leaf), tree_structure(tree, is_leaf)


def tree_map_with_path(func: Any, tree: Any, *rests: Any, is_leaf: Any = None) -> Any:
    """`tree_map` whose function gets the place of the leaf first."""
    found, spec = tree_flatten_with_path(tree, is_leaf)
    others = [spec.flatten_up_to(r) for r in rests]
    return spec.unflatten([func(*pair, *other) for pair, *other in zip(found, *others)])


def keystr(kp: Iterable[Any]) -> str:
    """A place in words."""
    return "".join(map(str, kp))


def _dump(spec: TreeSpec) -> Any:
    if spec.is_leaf():
        return None
    name, (_, write, _) = next((n, entry) for n, entry in SERIALIZED.items() if entry[0] is spec.type)
    return [name, write(spec.context) if write else spec.context, [_dump(c) for c in spec.children_specs]]


def treespec_dumps(treespec: TreeSpec, protocol: int | None = None) -> str:
    """A description as JSON, which `treespec_loads` reads."""
    return json.dumps(_dump(treespec))


def _load(v: Any) -> TreeSpec:
    if v is None:
        return LeafSpec()
    name, context, parts = v
    cls, _, read = SERIALIZED[name]
    return TreeSpec(cls, read(context) if read else context, [_load(p) for p in parts])


def treespec_loads(serialized: str) -> TreeSpec:
    """The description that `treespec_dumps` wrote."""
    return _load(json.loads(serialized))
