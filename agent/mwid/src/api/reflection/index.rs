//! The descriptors by the names in them. In: a set of file descriptors. Out: the file of a name, with all that it imports.
use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use std::collections::{BTreeMap, BTreeSet};

/// A file of the set.
#[derive(Debug)]
pub(super) struct File {
    name: String,
    imports: Vec<String>,
    bytes: Vec<u8>,
}

/// All files of the set.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By name.
    files: BTreeMap<String, File>,
    /// The file's name by the full name of a service, method, message, enum or field.
    symbols: BTreeMap<String, String>,
}

impl Index {
    /// A set that is none has nothing in it; a test looks at the one that we have.
    pub(super) fn of(set: &[u8]) -> Self {
        let mut index = Self::default();
        for file in FileDescriptorSet::decode(set).unwrap_or_default().file {
            index.add(&file);
        }
        index
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&File> {
        self.files.get(name)
    }

    /// By a full name, with or without a dot before it.
    pub(super) fn by_symbol(&self, symbol: &str) -> Option<&File> {
        let symbol = symbol.strip_prefix('.').unwrap_or(symbol);
        self.by_name(self.symbols.get(symbol)?)
    }

    /// The file, then each one that it needs, once.
    pub(super) fn with_imports(&self, file: &File) -> Vec<Vec<u8>> {
        let mut seen = BTreeSet::from([file.name.as_str()]);
        let (mut queue, mut all) = (vec![file], vec![]);
        while let Some(file) = queue.pop() {
            all.push(file.bytes.clone());
            let imports = file.imports.iter().filter_map(|name| self.by_name(name));
            queue.extend(imports.filter(|import| seen.insert(import.name.as_str())));
        }
        all
    }

    fn add(&mut self, file: &FileDescriptorProto) {
        let mut symbols = Symbols {
            index: self,
            file: file.name(),
        };
        let package = file.package();
        for message in &file.message_type {
            symbols.message(package, message);
        }
        for one in &file.enum_type {
            symbols.enumeration(package, one);
        }
        for service in &file.service {
            let name = symbols.add(package, service.name());
            for method in &service.method {
                symbols.add(&name, method.name());
            }
        }
        let name = file.name().to_owned();
        let imports = file.dependency.clone();
        let bytes = file.encode_to_vec();
        self.files.insert(name.clone(), File { name, imports, bytes });
    }
}

/// The names of one file.
struct Symbols<'a> {
    index: &'a mut Index,
    file: &'a str,
}

impl Symbols<'_> {
    /// The full name.
    fn add(&mut self, within: &str, name: &str) -> String {
        let full = match within {
            "" => name.to_owned(),
            within => format!("{within}.{name}"),
        };
        self.index.symbols.insert(full.clone(), self.file.to_owned());
        full
    }

    fn message(&mut self, within: &str, message: &DescriptorProto) {
        let name = self.add(within, message.name());
        for field in &message.field {
            self.add(&name, field.name());
        }
        for oneof in &message.oneof_decl {
            self.add(&name, oneof.name());
        }
        for one in &message.enum_type {
            self.enumeration(&name, one);
        }
        for nested in &message.nested_type {
            self.message(&name, nested);
        }
    }

    /// Its values are named beside it, not in it.
    fn enumeration(&mut self, within: &str, one: &EnumDescriptorProto) {
        self.add(within, one.name());
        for value in &one.value {
            self.add(within, value.name());
        }
    }
}
