//! Finding, setting, moving and removing fields.

use super::path::Path;
use super::{Constant, Document, Failure, Id, List, NONE, Node, ROOT, Span, Value};

/// Most members of one object: a lookup is a walk, and no line may take long.
pub(crate) const MOST_MEMBERS: usize = 1000;

/// The bytes of a span of `text`, or of what stands in `more` behind it.
#[inline]
pub(super) fn bytes_of<'a>(text: &'a [u8], more: &'a [u8], span: Span) -> &'a [u8] {
    let (from, to) = (span.start as usize, span.end as usize);
    match from.checked_sub(text.len()) {
        None => text.get(from..to),
        Some(from) => more.get(from..to - text.len()),
    }
    .unwrap_or_default()
}

/// The member of an object whose name has `len` bytes and is the one asked for.
#[inline]
pub(super) fn find_member(nodes: &[Node], object: Id, len: usize, same: impl Fn(Span) -> bool) -> Option<Id> {
    let Value::Object(list) = nodes[object as usize].value else { return None };
    let mut at = list.first;
    while at != NONE {
        let node = &nodes[at as usize];
        // Most are told apart by their lengths.
        if (node.name.end - node.name.start) as usize == len && same(node.name) {
            return Some(at);
        }
        at = node.next;
    }
    None
}

/// Puts a detached node at the end of an object or array.
#[inline]
pub(super) fn append(nodes: &mut [Node], parent: Id, child: Id) {
    nodes[child as usize].next = NONE;
    let (Value::Array(list) | Value::Object(list)) = &mut nodes[parent as usize].value else { return };
    let last = std::mem::replace(&mut list.last, child);
    match last {
        NONE => list.first = child,
        last => nodes[last as usize].next = child,
    }
}

/// Whether a name with dots means nested objects.
#[inline]
pub(super) fn nests(name: &[u8]) -> bool {
    let mut dots = 0;
    let mut last = b'.';
    for byte in name {
        if *byte == b'.' {
            if last == b'.' {
                return false;
            }
            dots += 1;
        }
        last = *byte;
    }
    dots > 0 && last != b'.' && dots + 1 < super::path::DEEPEST
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
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
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

    /// A detached node.
    pub(super) fn node(&mut self, name: Span, value: Value) -> Id {
        self.nodes.push(Node { name, value, next: NONE });
        (self.nodes.len() - 1) as Id
    }

    fn list(&self, id: Id) -> List {
        match self.nodes[id as usize].value {
            Value::Array(list) | Value::Object(list) => list,
            _ => List::EMPTY,
        }
    }

    fn set_list(&mut self, id: Id, new: List) {
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
        let text = self.text.as_bytes();
        find_member(&self.nodes, object, name.len(), |span| bytes_of(text, b"", span) == name.as_bytes())
    }

    /// The field of a name.
    pub(crate) fn find(&self, path: &Path) -> Option<Id> {
        path.parts().iter().try_fold(ROOT, |at, part| self.member(at, part))
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
        append(&mut self.nodes, parent, child);
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
        self.set_list(parent, list);
    }

    /// Where the member of this name is or will be: objects on the way are made.
    fn place(&mut self, path: &Path) -> Result<Id, Failure> {
        let (mut at, parts) = (ROOT, path.parts());
        for (n, part) in parts.iter().enumerate() {
            at = match self.member(at, part) {
                // Nothing was made yet: what is found stands below what is found.
                Some(id) if n + 1 < parts.len() && !matches!(self.value(id), Value::Object(_)) => return Err(in_the_way(part)),
                Some(id) => id,
                None => {
                    let name = self.push(part);
                    let value = if n + 1 < parts.len() { Value::Object(List::EMPTY) } else { Value::Null };
                    let id = self.node(name, value);
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
            match self.member(at, part) {
                Some(id) if matches!(self.value(id), Value::Object(_)) => at = id,
                Some(_) => return Err(in_the_way(part)),
                None => break,
            }
        }
        Ok(())
    }

    /// Whether the members of `from` have room beside those of `into`; to be asked before [`Document::merge`].
    pub(crate) fn fits(&self, into: Id, from: Id) -> Result<(), Failure> {
        // All nodes together would have room.
        if self.nodes.len() <= MOST_MEMBERS {
            return Ok(());
        }
        for id in self.children(from) {
            if let Some(there) = self.member(into, self.name(id)) {
                self.fits(there, id)?;
            }
        }
        if self.children(into).count() + self.children(from).count() > MOST_MEMBERS { Err(too_many()) } else { Ok(()) }
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

    /// A value of the configuration as one of the event.
    pub(crate) fn constant(&mut self, constant: &Constant) -> Value {
        match constant {
            Constant::Null => Value::Null,
            Constant::Bool(b) => Value::Bool(*b),
            Constant::Int(n) => Value::Int(*n),
            Constant::Float(n) => Value::Float(*n),
            Constant::Text(text) => Value::Text(self.push(text)),
            Constant::List(items) => {
                let array = self.node(Span::default(), Value::Array(List::EMPTY));
                for item in items {
                    let value = self.constant(item);
                    let id = self.node(Span::default(), value);
                    self.append(array, id);
                }
                self.value(array)
            }
        }
    }

    /// A copy of a value that shares no nodes with it.
    pub(crate) fn copy(&mut self, value: Value) -> Value {
        let empty = match value {
            Value::Array(_) => Value::Array(List::EMPTY),
            Value::Object(_) => Value::Object(List::EMPTY),
            plain => return plain,
        };
        let (from, to) = (self.node(Span::default(), value), self.node(Span::default(), empty));
        let mut at = self.list(from).first;
        while at != NONE {
            let Node { name, value, next } = self.nodes[at as usize];
            let value = self.copy(value);
            let id = self.node(name, value);
            self.append(to, id);
            at = next;
        }
        self.value(to)
    }

    /// Removes a field, and objects that it leaves empty. Its value, if it was there.
    pub(crate) fn remove(&mut self, path: &Path) -> Option<Value> {
        let mut way = [ROOT; super::path::DEEPEST + 1];
        let parts = path.parts();
        for (n, part) in parts.iter().enumerate() {
            way[n + 1] = self.member(way[n], part)?;
        }
        let value = self.value(way[parts.len()]);
        for n in (0..parts.len()).rev() {
            self.unlink(way[n], way[n + 1]);
            if self.list(way[n]).first != NONE {
                break;
            }
        }
        Some(value)
    }

    /// Removes all fields but these, and objects that are left empty.
    pub(crate) fn keep(&mut self, paths: &[Path]) {
        self.keep_below(ROOT, paths, 0);
    }

    fn keep_below(&mut self, object: Id, paths: &[Path], depth: usize) {
        let mut at = self.list(object).first;
        self.set_list(object, List::EMPTY);
        while at != NONE {
            let next = self.nodes[at as usize].next;
            // Paths that name this member, whole or with more behind it, where all before it agrees already.
            let agree = |path: &&Path| path.parts().get(depth).is_some_and(|part| **part == *self.name(at));
            let below: Vec<Path> = paths.iter().filter(agree).cloned().collect();
            if below.iter().any(|path| path.parts().len() == depth + 1) {
                self.append(object, at);
            } else if !below.is_empty() && matches!(self.value(at), Value::Object(_)) {
                self.keep_below(at, &below, depth + 1);
                if self.list(at).first != NONE {
                    self.append(object, at);
                }
            }
            at = next;
        }
    }

    /// A detached object.
    pub(crate) fn fresh_object(&mut self) -> Id {
        self.node(Span::default(), Value::Object(List::EMPTY))
    }

    /// A detached array.
    pub(crate) fn fresh_array(&mut self) -> Id {
        self.node(Span::default(), Value::Array(List::EMPTY))
    }

    /// Adds a member to an object that has none of this name, and room for it. A dot in the name is one.
    #[cfg(feature = "vrl")]
    pub(crate) fn add_named(&mut self, object: Id, name: Span, value: Value) {
        let member = self.node(name, value);
        self.append(object, member);
    }

    /// Adds an item to a detached array.
    pub(crate) fn add_item(&mut self, array: Id, value: Value) {
        let item = self.node(Span::default(), value);
        self.append(array, item);
    }

    /// A plain value as text.
    pub(crate) fn shown(&mut self, value: Value) -> Span {
        let (mut out, id) = (std::mem::take(&mut self.scratch), self.node(Span::default(), value));
        out.clear();
        self.put(id, &mut out);
        let span = self.push(std::str::from_utf8(&out).unwrap_or_default().trim_matches('"'));
        self.scratch = out;
        span
    }

    /// Rewrites all texts, or those of the fields `only`: `write` gets the old text, appends the new one, and says whether it is new.
    pub(crate) fn rewrite_texts(&mut self, only: Option<&[Id]>, mut write: impl FnMut(&str, &mut String) -> bool) {
        for at in 0..self.nodes.len() {
            let Value::Text(span) = self.nodes[at].value else { continue };
            if only.is_some_and(|only| !only.contains(&(at as Id))) {
                continue;
            }
            let mut changed = false;
            let (length, new) = (self.text.len(), self.rewrite(span, |old, new| changed = write(old, new)));
            if changed {
                self.nodes[at].value = Value::Text(new);
            } else {
                self.text.truncate(length);
            }
        }
    }

    /// Adds the text `tag` to the array of a field; what was there alone becomes its first item.
    pub(crate) fn add_tag(&mut self, path: &Path, tag: &str) {
        let text = self.push(tag);
        let Ok(id) = self.place(path) else { return };
        let old = self.value(id);
        match old {
            Value::Array(_) => {
                if self.children(id).any(|item| matches!(self.value(item), Value::Text(t) if self.str(t) == tag)) {
                    return;
                }
            }
            old => {
                self.nodes[id as usize].value = Value::Array(List::EMPTY);
                if old != Value::Null {
                    let first = self.node(Span::default(), old);
                    self.append(id, first);
                }
            }
        }
        let item = self.node(Span::default(), Value::Text(text));
        self.append(id, item);
    }

    /// Moves the members of `from`, a detached object, into `into`. What is there wins; with `overwrite` what comes wins, but no
    /// object gives way to a plain value, nor a plain value to an object: receivers refuse a field that is both.
    pub(crate) fn merge(&mut self, into: Id, from: Id, overwrite: bool) {
        let mut at = self.list(from).first;
        while at != NONE {
            let next = self.nodes[at as usize].next;
            let name = self.nodes[at as usize].name;
            match self.member(into, self.str(name)) {
                None => self.append(into, at),
                Some(there) => match (self.value(there), self.value(at)) {
                    (Value::Object(_), Value::Object(_)) => self.merge(there, at, overwrite),
                    (Value::Object(_), _) | (_, Value::Object(_)) => {}
                    (_, new) if overwrite => self.nodes[there as usize].value = new,
                    _ => {}
                },
            }
            at = next;
        }
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

    /// Adds a member of a detached object, under nested objects where its name has dots. What came before under the name goes.
    pub(crate) fn add(&mut self, object: Id, name: Span, value: Value) -> Result<(), Failure> {
        if nests(self.str(name).as_bytes()) {
            let (mut at, mut start) = (object, 0);
            loop {
                let text = self.str(name);
                let Some(len) = text[start..].find('.') else { break };
                let part = name.part(start, start + len);
                start += len + 1;
                at = match self.member(at, self.str(part)) {
                    Some(id) if matches!(self.value(id), Value::Object(_)) => id,
                    Some(_) => return Ok(()),
                    None => self.fresh_member(at, part, Value::Object(List::EMPTY))?,
                };
            }
            let last = name.part(start, usize::MAX >> 1);
            return self.add_one(at, last, value);
        }
        self.add_one(object, name, value)
    }

    fn add_one(&mut self, object: Id, name: Span, value: Value) -> Result<(), Failure> {
        match self.member(object, self.str(name)) {
            Some(id) => self.nodes[id as usize].value = value,
            None => drop(self.fresh_member(object, name, value)?),
        }
        Ok(())
    }

    fn fresh_member(&mut self, object: Id, name: Span, value: Value) -> Result<Id, Failure> {
        has_room(&self.nodes, object)?;
        let id = self.node(name, value);
        self.append(object, id);
        Ok(id)
    }
}

#[cold]
fn in_the_way(part: &str) -> Failure {
    Failure::new(format!("the field {part} stands in the way: it is no object"))
}

#[cold]
fn too_many() -> Failure {
    Failure::new(format!("an object has more than {MOST_MEMBERS} members"))
}
