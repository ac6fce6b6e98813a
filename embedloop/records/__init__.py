"""The frozen records that pass between the parts; every word is that of the glossary in docs/concepts.md."""
