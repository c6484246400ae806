//! Changing fields that are there: removing, merging, copying, rewriting.

use super::path::Path;
use super::tree::{MOST_MEMBERS, has_room, nests, too_many};
use super::{Constant, Document, Failure, Id, List, NONE, Node, ROOT, Span, Value};

impl Document {
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

    /// A value of the configuration as one of the event.
    pub(crate) fn constant(&mut self, constant: &Constant) -> Value {
        match constant {
            Constant::Null => Value::Null,
            Constant::Bool(b) => Value::Bool(*b),
            Constant::Int(n) => Value::Int(*n),
            Constant::Float(n) => Value::Float(*n),
            Constant::Text(text) => Value::Text(self.push(text)),
            Constant::List(items) => {
                let array = self.item(Value::Array(List::EMPTY));
                for item in items {
                    let value = self.constant(item);
                    let id = self.item(value);
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
        let (from, to) = (self.item(value), self.item(empty));
        let mut at = self.list(from).first;
        while at != NONE {
            let node = self.nodes[at as usize];
            let value = self.copy(node.value);
            let id = self.push_node(Node { value, ..node });
            self.append(to, id);
            at = node.next;
        }
        self.value(to)
    }

    /// Removes a field, and objects that it leaves empty. Its value, if it was there.
    pub(crate) fn remove(&mut self, path: &Path) -> Option<Value> {
        let mut way = [ROOT; super::path::DEEPEST + 1];
        let parts = path.parts();
        for (n, part) in parts.iter().enumerate() {
            way[n + 1] = self.part(way[n], part)?;
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
            let agree = |path: &&Path| path.parts().get(depth).is_some_and(|part| part.name() == self.name(at));
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
        self.item(Value::Object(List::EMPTY))
    }

    /// A detached array.
    pub(crate) fn fresh_array(&mut self) -> Id {
        self.item(Value::Array(List::EMPTY))
    }

    /// Adds a member to an object that has none of this name, and room for it. A dot in the name is one.
    #[cfg(feature = "vrl")]
    pub(crate) fn add_named(&mut self, object: Id, name: Span, value: Value) {
        let member = self.node(name, value);
        self.append(object, member);
    }

    /// Adds an item to a detached array.
    pub(crate) fn add_item(&mut self, array: Id, value: Value) {
        let item = self.item(value);
        self.append(array, item);
    }

    /// A plain value as text.
    pub(crate) fn shown(&mut self, value: Value) -> Span {
        let (mut out, id) = (std::mem::take(&mut self.scratch), self.item(value));
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
                    let first = self.item(old);
                    self.append(id, first);
                }
            }
        }
        let item = self.item(Value::Text(text));
        self.append(id, item);
    }

    /// Moves the members of `from`, a detached object, into `into`. What is there wins; with `overwrite` what comes wins, but no
    /// object gives way to a plain value, nor a plain value to an object: receivers refuse a field that is both.
    pub(crate) fn merge(&mut self, into: Id, from: Id, overwrite: bool) {
        let mut at = self.list(from).first;
        while at != NONE {
            let next = self.nodes[at as usize].next;
            let Node { key, name, .. } = self.nodes[at as usize];
            match self.named(into, key, self.str(name)) {
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
