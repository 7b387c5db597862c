"""Idioms of Trio that several rooms share: shielding, threads kept, failures past a nursery."""
