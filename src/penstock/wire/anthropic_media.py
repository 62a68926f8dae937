"""Images and documents in Anthropic's messages, both ways, with the marks that any block may bear.

https://platform.claude.com/docs/en/build-with-claude/vision, .../pdf-support, .../citations, .../search-results,
.../prompt-caching
"""

from __future__ import annotations

from typing import Any

from penstock.prompt import Document, Image, Source
from penstock.wire.anthropic_checks import array, flag, invalid, mapping, maybe_text, missing, text, word
from penstock.wire.openai_checks import Notes

__all__ = [
    "mark",
    "read_cached",
    "read_document",
    "read_image",
    "read_search_result",
    "write_document",
    "write_image",
]

_PDF = "application/pdf"
# What a vendor's block may hold beside what is read of it.
_IMAGE = frozenset(("type", "source", "cache_control"))
_DOCUMENT = _IMAGE | {"title", "context", "citations"}
_SEARCH = _DOCUMENT | {"content"}


def read_cached(block: dict[str, Any], path: str, notes: Notes) -> str | None:
    """A `cache_control` marker's lifetime, "" for the default; None for no marker. Raises InvalidRequest."""
    marker = block.get("cache_control")
    if marker is None:
        return None
    place = f"{path}.cache_control"
    word(mapping(marker, place).get("type"), f"{place}.type", ("ephemeral",))
    notes.rest(marker, ("type", "ttl"), place)
    notes.met("cache_markers", place)
    lifetime = marker.get("ttl")
    return "" if lifetime is None else word(lifetime, f"{place}.ttl", ("5m", "1h"))


def mark(block: dict[str, Any], cached: str | None) -> dict[str, Any]:
    """The block with the marker it bears, if any."""
    if cached is not None:
        block["cache_control"] = {"type": "ephemeral", "ttl": cached} if cached else {"type": "ephemeral"}
    return block


def read_image(block: dict[str, Any], path: str, notes: Notes) -> Image:
    """An `image`. Raises InvalidRequest."""
    notes.rest(block, _IMAGE, path)
    place = f"{path}.source"
    source = mapping(block.get("source"), place)
    kind = word(source.get("type"), f"{place}.type", ("base64", "url", "file"))
    notes.met("files" if kind == "file" else "images", path)
    return Image(source=_stored(source, kind, place), cached=read_cached(block, path, notes))


def read_document(block: dict[str, Any], path: str, notes: Notes) -> list[Document | Image]:
    """A `document`: one, but for the kind that is made of blocks, whose pictures stand beside its text."""
    notes.rest(block, _DOCUMENT, path)
    place = f"{path}.source"
    source = mapping(block.get("source"), place)
    kind = word(source.get("type"), f"{place}.type", ("base64", "text", "url", "file", "content"))
    if kind == "content":
        texts, images = _pieces(source.get("content"), f"{place}.content", notes)
        read: list[Document | Image] = [*images]
        if texts or not images:
            read.insert(0, _document(block, Source(media_type="text/plain", text="\n\n".join(texts)), path, notes))
        return read
    if kind == "text":
        media_type = source.get("media_type")
        if media_type is not None:
            word(media_type, f"{place}.media_type", ("text/plain",))
        read_source = Source(media_type="text/plain", text=text(source.get("data"), f"{place}.data"))
    else:
        read_source = _stored(source, kind, place)
    return [_document(block, read_source, path, notes)]


def read_search_result(block: dict[str, Any], path: str, notes: Notes) -> Document:
    """A `search_result`: a text with a title, found at its source. Raises InvalidRequest."""
    notes.rest(block, _SEARCH, path)
    found = text(block.get("source"), f"{path}.source")
    text(block.get("title"), f"{path}.title")
    texts, _ = _pieces(array(block.get("content"), f"{path}.content"), f"{path}.content", notes)
    source = Source(media_type="text/plain", text="\n\n".join(texts))
    return _document({**block, "context": f"Source: {found}" if found else None}, source, path, notes)


def write_image(image: Image) -> dict[str, Any] | None:
    """The block, None for an image that is stored at another vendor."""
    source = image.source
    if source.data is not None:
        media_type = source.media_type or "image/png"
        # The name that is registered: Anthropic refuses the other, which many write.
        media_type = "image/jpeg" if media_type == "image/jpg" else media_type
        written = {"type": "base64", "media_type": media_type, "data": source.data}
    elif source.url is not None:
        written = {"type": "url", "url": source.url}
    else:
        return None
    return mark({"type": "image", "source": written}, image.cached)


def write_document(document: Document) -> dict[str, Any] | None:
    """The block, None for what Anthropic doesn't read: a file stored elsewhere, or no PDF and no text.

    https://platform.claude.com/docs/en/build-with-claude/files: other kinds have to be turned into text.
    """
    source = document.source
    if source.text is not None:
        written = {"type": "text", "media_type": "text/plain", "data": source.text}
    elif source.url is not None:
        written = {"type": "url", "url": source.url}
    elif source.data is not None and source.media_type in (_PDF, ""):
        written = {"type": "base64", "media_type": _PDF, "data": source.data}
    else:
        return None
    block: dict[str, Any] = {"type": "document", "source": written}
    if document.title:
        block["title"] = document.title
    if document.context:
        block["context"] = document.context
    if document.cites:
        block["citations"] = {"enabled": True}
    return mark(block, document.cached)


def _stored(source: dict[str, Any], kind: str, place: str) -> Source:
    if kind == "base64":
        data = text(source.get("data"), f"{place}.data")
        # Line breaks are legal base64, but not in a data URL.
        joined = "".join(data.split()) if any(space in data for space in " \r\n\t") else data
        return Source(media_type=text(source.get("media_type"), f"{place}.media_type").lower(), data=joined)
    if kind == "url":
        url = text(source.get("url"), f"{place}.url")
        if url[:8].lower() != "https://" and url[:7].lower() != "http://":
            raise invalid(f"{place}.url", "Only HTTP(S) URLs are supported")
        return Source(url=url)
    return Source(file_id=text(source.get("file_id"), f"{place}.file_id"))


def _document(block: dict[str, Any], source: Source, path: str, notes: Notes) -> Document:
    notes.met("files" if source.file_id else "document_urls" if source.url else "documents", path)
    title = maybe_text(block.get("title"), f"{path}.title")
    context = maybe_text(block.get("context"), f"{path}.context")
    if title or context:
        notes.met("document_titles", f"{path}.{'title' if title else 'context'}")
    citations = block.get("citations")
    cites = citations is not None and flag(
        mapping(citations, f"{path}.citations").get("enabled"), f"{path}.citations.enabled"
    )
    if cites:
        notes.met("citations", f"{path}.citations")
    return Document(source=source, title=title, context=context, cites=cites, cached=read_cached(block, path, notes))


def _pieces(content: Any, path: str, notes: Notes) -> tuple[list[str], list[Image]]:
    """The texts and the pictures of which a document is made."""
    if isinstance(content, str):
        return [content], []
    texts, images = [], []
    for at, value in enumerate(array(content, path)):
        place = f"{path}.{at}"
        block = mapping(value, place)
        if word(block.get("type"), f"{place}.type", ("text", "image")) == "image":
            images.append(read_image(block, place, notes))
        else:
            texts.append(text(block.get("text"), f"{place}.text"))
            read_cached(block, place, notes)
    if not texts and not images:
        raise missing(path)
    return texts, images
