//! rustls configs that follow the store.
