"""The file formats: NumPy's, those of benchmarks, text, tables, tensors, word vectors and faiss's flat indexes."""

from __future__ import annotations

from collections.abc import Iterable

from nearkin.hooks import FormatSpec, hookimpl
from nearkin_plugins.file_formats.options import (
    ColumnOptions,
    CsvOptions,
    DelimitedOptions,
    FaissOptions,
    GloveOptions,
    Hdf5Options,
    JsonLinesOptions,
    NpzOptions,
    SafetensorsOptions,
    Word2vecOptions,
)

_HERE = "nearkin_plugins.file_formats"


@hookimpl
def nearkin_formats() -> Iterable[FormatSpec]:
    """Every built-in format."""
    return [*_matrices(), *_texts(), *_tables(), *_words()]


def _matrices() -> list[FormatSpec]:
    return [
        FormatSpec(
            name="npy",
            summary="NumPy array, memory-mapped",
            make="nearkin.npy_format:NpyFormat",
            suffixes=(".npy",),
        ),
        FormatSpec(
            name="npz",
            summary="NumPy archive: an array of vectors and, if there, one of ids",
            make=f"{_HERE}.numpy_archives:NpzFormat",
            params=NpzOptions,
            suffixes=(".npz",),
            examples=({}, {"compressed": True}),
        ),
        FormatSpec(
            name="fvecs",
            summary="TEXMEX vectors of float32",
            make=f"{_HERE}.texmex:FvecsFormat",
            suffixes=(".fvecs",),
        ),
        FormatSpec(
            name="bvecs",
            summary="TEXMEX vectors of bytes, or packed bits",
            make=f"{_HERE}.texmex:BvecsFormat",
            suffixes=(".bvecs",),
        ),
        FormatSpec(
            name="ivecs",
            summary="TEXMEX vectors of int32, as used for ground truth",
            make=f"{_HERE}.texmex:IvecsFormat",
            suffixes=(".ivecs",),
        ),
        FormatSpec(
            name="fbin",
            summary="billion-scale benchmarks: float32 behind rows and columns",
            make=f"{_HERE}.big_ann:FbinFormat",
            suffixes=(".fbin", ".f32bin"),
        ),
        FormatSpec(
            name="hbin",
            summary="as fbin, of float16",
            make=f"{_HERE}.big_ann:HbinFormat",
            suffixes=(".hbin", ".f16bin"),
        ),
        FormatSpec(
            name="u8bin",
            summary="as fbin, of bytes, or packed bits",
            make=f"{_HERE}.big_ann:U8binFormat",
            suffixes=(".u8bin", ".bbin"),
        ),
        FormatSpec(
            name="i8bin",
            summary="as fbin, of int8",
            make=f"{_HERE}.big_ann:I8binFormat",
            suffixes=(".i8bin",),
        ),
        FormatSpec(
            name="ibin",
            summary="as fbin, of int32, as used for ground truth",
            make=f"{_HERE}.big_ann:IbinFormat",
            suffixes=(".ibin", ".i32bin"),
        ),
        FormatSpec(
            name="hdf5",
            summary="HDF5: a 2-D dataset and, if there, one of ids; those of ann-benchmarks",
            make=f"{_HERE}.hdf5:Hdf5Format",
            params=Hdf5Options,
            suffixes=(".hdf5", ".h5"),
            needs=("h5py",),
            extra="files",
        ),
        FormatSpec(
            name="safetensors",
            summary="Hugging Face safetensors: a 2-D tensor",
            make=f"{_HERE}.safetensors:SafetensorsFormat",
            params=SafetensorsOptions,
            suffixes=(".safetensors",),
        ),
        FormatSpec(
            name="faiss",
            summary="faiss index: rows and ids of a Flat index, or of an IDMap over one",
            make=f"{_HERE}.faiss_flat_files:FaissFormat",
            params=FaissOptions,
            suffixes=(".faiss", ".index"),
            examples=({}, {"metric": "ip"}),
        ),
    ]


def _texts() -> list[FormatSpec]:
    return [
        FormatSpec(
            name="csv",
            summary="comma-separated text: columns of numbers, or one of lists; id and further columns kept",
            make=f"{_HERE}.delimited:CsvFormat",
            params=CsvOptions,
            suffixes=(".csv",),
            examples=({}, {"delimiter": "semicolon"}),
        ),
        FormatSpec(
            name="tsv",
            summary="tab-separated text, otherwise as csv",
            make=f"{_HERE}.delimited:TsvFormat",
            params=DelimitedOptions,
            suffixes=(".tsv",),
        ),
        FormatSpec(
            name="jsonl",
            summary="JSON lines: an object or an array of numbers a line; id and further keys kept",
            make=f"{_HERE}.json_lines:JsonLinesFormat",
            params=JsonLinesOptions,
            suffixes=(".jsonl", ".ndjson"),
            examples=({}, {"id": "key", "vectors": "v"}),
        ),
    ]


def _tables() -> list[FormatSpec]:
    return [
        FormatSpec(
            name="parquet",
            summary="Apache Parquet: a list column, or columns of numbers; id and further columns kept",
            make=f"{_HERE}.parquet:ParquetFormat",
            params=ColumnOptions,
            suffixes=(".parquet", ".pq"),
            needs=("pyarrow",),
            extra="files",
        ),
        FormatSpec(
            name="arrow",
            summary="Arrow IPC file or stream, Feather: columns as in parquet",
            make=f"{_HERE}.arrow_files:ArrowFormat",
            params=ColumnOptions,
            suffixes=(".arrow", ".feather", ".ipc", ".arrows"),
            needs=("pyarrow",),
            extra="files",
        ),
    ]


def _words() -> list[FormatSpec]:
    return [
        FormatSpec(
            name="word2vec",
            summary="text of word2vec and fastText: a header, then a word and its numbers a line",
            make=f"{_HERE}.word_vectors:Word2vecFormat",
            params=Word2vecOptions,
            suffixes=(".vec",),
        ),
        FormatSpec(
            name="glove",
            summary="text of GloVe: a word and its numbers a line; read only",
            make=f"{_HERE}.word_vectors:GloveFormat",
            params=GloveOptions,
            suffixes=(".glove", ".txt"),
        ),
        FormatSpec(
            name="word2vec-binary",
            summary="binary of word2vec, whose usual ending .bin has to be named; read only",
            make=f"{_HERE}.word_vectors:Word2vecBinaryFormat",
            suffixes=(".w2v",),
        ),
    ]
