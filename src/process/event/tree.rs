//! Finding fields, and making them.

use super::key::{Key, same_long};
use super::path::{Part, Path};
use super::{Document, Failure, Id, List, NONE, Node, ROOT, Span, Value};

/// Most members of one object: a lookup is a walk, and no line may take long.
pub(crate) const MOST_MEMBERS: usize = 1000;

/// The member of a list whose name has `key`; `same` tells whether a longer name is the one asked for.
#[inline]
pub(super) fn find_member(nodes: &[Node], list: List, key: Key, same: impl Fn(Span) -> bool) -> Option<Id> {
    let mut at = list.first;
    while at != NONE {
        let node = &nodes[at as usize];
        if node.key == key && (key.is_exact() || same(node.name)) {
            return Some(at);
        }
        at = node.next;
    }
    None
}

/// Puts a detached node at the end of a list; `lists` counts lists.
#[inline]
pub(super) fn link(nodes: &mut [Node], lists: &mut u32, list: &mut List, child: Id) {
    if list.number == 0 {
        *lists += 1;
        list.number = *lists;
    }
    let node = &mut nodes[child as usize];
    (node.next, node.list) = (NONE, list.number);
    match std::mem::replace(&mut list.last, child) {
        NONE => list.first = child,
        last => nodes[last as usize].next = child,
    }
}

/// Puts a detached node at the end of an object or array.
#[inline]
pub(super) fn append(nodes: &mut [Node], lists: &mut u32, parent: Id, child: Id) {
    let (Value::Array(mut list) | Value::Object(mut list)) = nodes[parent as usize].value else { return };
    link(nodes, lists, &mut list, child);
    if let Value::Array(own) | Value::Object(own) = &mut nodes[parent as usize].value {
        *own = list;
    }
}

/// Whether a name with dots means nested objects.
#[inline]
pub(super) fn nests(name: &[u8]) -> bool {
    let (mut dots, mut before) = (0, b'.');
    for byte in name {
        if *byte == b'.' && before == b'.' {
            return false;
        }
        dots += usize::from(*byte == b'.');
        before = *byte;
    }
    dots > 0 && before != b'.' && dots + 1 < super::path::DEEPEST
}

/// Whether an object has room for one more member.
#[inline]
pub(super) fn has_room(nodes: &[Node], object: Id) -> Result<(), Failure> {
    // All nodes together would have room.
    if nodes.len() < MOST_MEMBERS {
        return Ok(());
    }
    let (mut at, mut count) = (NONE, 0);
    if let Value::Object(list) | Value::Array(list) = nodes[object as usize].value {
        at = list.first;
    }
    while at != NONE {
        (at, count) = (nodes[at as usize].next, count + 1);
    }
    if count >= MOST_MEMBERS { Err(too_many()) } else { Ok(()) }
}

impl Document {
    /// The text of a span.
    pub(crate) fn str(&self, span: Span) -> &str {
        self.text.get(span.start()..span.end()).unwrap_or_default()
    }

    /// Adds text.
    pub(crate) fn push(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        Span::new(start, self.text.len())
    }

    /// Adds text that `write` appends.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut String)) -> Span {
        let start = self.text.len();
        write(&mut self.text);
        Span::new(start, self.text.len())
    }

    /// Changes text that stands at `span` into what `write` appends, given the old text in a buffer of its own.
    pub(crate) fn rewrite(&mut self, span: Span, write: impl FnOnce(&str, &mut String)) -> Span {
        let mut old = std::mem::take(&mut self.scratch);
        old.clear();
        old.extend_from_slice(self.str(span).as_bytes());
        let start = self.text.len();
        write(std::str::from_utf8(&old).unwrap_or_default(), &mut self.text);
        self.scratch = old;
        Span::new(start, self.text.len())
    }

    pub(crate) fn value(&self, id: Id) -> Value {
        self.nodes[id as usize].value
    }

    pub(crate) fn name(&self, id: Id) -> &str {
        self.str(self.nodes[id as usize].name)
    }

    /// The value as a number, where it is one.
    pub(crate) fn number(&self, value: Value) -> Option<f64> {
        match value {
            Value::Int(n) => Some(n as f64),
            Value::Float(n) => Some(n),
            Value::Number(span) => self.str(span).parse().ok(),
            _ => None,
        }
    }

    pub(super) fn push_node(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        (self.nodes.len() - 1) as Id
    }

    /// A detached node.
    pub(super) fn node(&mut self, name: Span, value: Value) -> Id {
        let key = Key::of(self.str(name).as_bytes());
        self.push_node(Node::new(key, name, value))
    }

    /// A detached node without a name.
    pub(super) fn item(&mut self, value: Value) -> Id {
        self.push_node(Node::item(value))
    }

    /// What an object has.
    #[inline]
    fn members(&self, id: Id) -> List {
        match self.nodes[id as usize].value {
            Value::Object(list) => list,
            _ => List::EMPTY,
        }
    }

    pub(super) fn list(&self, id: Id) -> List {
        match self.nodes[id as usize].value {
            Value::Array(list) | Value::Object(list) => list,
            _ => List::EMPTY,
        }
    }

    pub(super) fn set_list(&mut self, id: Id, new: List) {
        if let Value::Array(list) | Value::Object(list) = &mut self.nodes[id as usize].value {
            *list = new;
        }
    }

    /// The children of an object or array, in their order.
    pub(crate) fn children(&self, id: Id) -> impl Iterator<Item = Id> {
        let mut at = self.list(id).first;
        std::iter::from_fn(move || {
            let id = (at != NONE).then_some(at)?;
            at = self.nodes[id as usize].next;
            Some(id)
        })
    }

    /// The member `name` of an object.
    pub(crate) fn member(&self, object: Id, name: &str) -> Option<Id> {
        self.named(object, Key::of(name.as_bytes()), name)
    }

    #[inline]
    fn keyed(&self, list: List, key: Key, name: &str) -> Option<Id> {
        find_member(&self.nodes, list, key, |span| same_long(self.str(span).as_bytes(), name.as_bytes()))
    }

    /// The member of an object that a part of a path means.
    #[inline]
    pub(super) fn part(&self, object: Id, part: &Part) -> Option<Id> {
        let hint = part.hint.get();
        if let Some(node) = self.nodes.get(hint as usize)
            && node.list == self.members(object).number
            && node.key == part.key()
            && (node.key.is_exact() || same_long(self.str(node.name).as_bytes(), part.name().as_bytes()))
        {
            return Some(hint);
        }
        // Most often it is asked for what the document has not yet.
        if object == ROOT && self.seen & part.key().bit() == 0 { None } else { self.walk(object, part) }
    }

    #[inline(never)]
    fn walk(&self, object: Id, part: &Part) -> Option<Id> {
        self.keyed(self.members(object), part.key(), part.name()).inspect(|id| part.hint.set(*id))
    }

    #[inline]
    pub(super) fn named(&self, object: Id, key: Key, name: &str) -> Option<Id> {
        if object == ROOT && self.seen & key.bit() == 0 {
            return None;
        }
        self.keyed(self.members(object), key, name)
    }

    /// The field of a name.
    pub(crate) fn find(&self, path: &Path) -> Option<Id> {
        path.parts().iter().try_fold(ROOT, |at, part| self.part(at, part))
    }

    /// The field's value.
    pub(crate) fn get(&self, path: &Path) -> Option<Value> {
        self.find(path).map(|id| self.value(id))
    }

    /// The field as text.
    pub(crate) fn text(&self, path: &Path) -> Result<Span, Failure> {
        match self.get(path) {
            Some(Value::Text(span)) => Ok(span),
            Some(_) => Err(Failure::new(format!("the field {path} is no text"))),
            None => Err(Failure::new(format!("there is no field {path}"))),
        }
    }

    /// Puts a detached node at the end of an object or array.
    pub(super) fn append(&mut self, parent: Id, child: Id) {
        if parent == ROOT {
            self.seen |= self.nodes[child as usize].key.bit();
        }
        append(&mut self.nodes, &mut self.lists, parent, child);
    }

    /// Takes a member out of its object; its node stays usable.
    pub(crate) fn unlink(&mut self, parent: Id, child: Id) {
        let (mut list, next) = (self.list(parent), self.nodes[child as usize].next);
        let before = self.children(parent).take_while(|id| *id != child).last();
        match before {
            Some(before) => self.nodes[before as usize].next = next,
            None => list.first = next,
        }
        if list.last == child {
            list.last = before.unwrap_or(NONE);
        }
        self.nodes[child as usize].list = NONE;
        self.set_list(parent, list);
    }

    /// Where the member of this name is or will be: objects on the way are made.
    pub(super) fn place(&mut self, path: &Path) -> Result<Id, Failure> {
        let (mut at, parts) = (ROOT, path.parts());
        for (n, part) in parts.iter().enumerate() {
            at = match self.part(at, part) {
                // Nothing was made yet: what is found stands below what is found.
                Some(id) if n + 1 < parts.len() && !matches!(self.value(id), Value::Object(_)) => return Err(in_the_way(part.name())),
                Some(id) => id,
                None => {
                    let name = part.push_to(&mut self.text);
                    let value = if n + 1 < parts.len() { Value::Object(List::EMPTY) } else { Value::Null };
                    let id = self.push_node(Node::new(part.key(), name, value));
                    part.hint.set(id);
                    self.append(at, id);
                    id
                }
            };
        }
        Ok(at)
    }

    /// Whether a field of this name can be set: no plain value stands on the way.
    pub(crate) fn free(&self, path: &Path) -> Result<(), Failure> {
        let (mut at, parts) = (ROOT, path.parts());
        for part in &parts[..parts.len() - 1] {
            match self.part(at, part) {
                Some(id) if matches!(self.value(id), Value::Object(_)) => at = id,
                Some(_) => return Err(in_the_way(part.name())),
                None => break,
            }
        }
        Ok(())
    }

    /// Sets a field, whatever it was.
    pub(crate) fn set(&mut self, path: &Path, value: Value) -> Result<(), Failure> {
        let id = self.place(path)?;
        self.nodes[id as usize].value = value;
        Ok(())
    }

    /// Sets the value of a field that is there.
    pub(crate) fn set_value(&mut self, id: Id, value: Value) {
        self.nodes[id as usize].value = value;
    }

    /// The object of a name, made where there is none.
    pub(crate) fn object(&mut self, path: &Path) -> Result<Id, Failure> {
        let id = self.place(path)?;
        match self.value(id) {
            Value::Object(_) => Ok(id),
            Value::Null => {
                self.nodes[id as usize].value = Value::Object(List::EMPTY);
                Ok(id)
            }
            _ => Err(Failure::new(format!("the field {path} is no object"))),
        }
    }
}

#[cold]
fn in_the_way(part: &str) -> Failure {
    Failure::new(format!("the field {part} stands in the way: it is no object"))
}

#[cold]
pub(super) fn too_many() -> Failure {
    Failure::new(format!("an object has more than {MOST_MEMBERS} members"))
}
