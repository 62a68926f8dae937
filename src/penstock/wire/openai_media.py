"""Images, audio and files in OpenAI's messages, both ways.

https://platform.openai.com/docs/guides/images-vision, .../docs/guides/pdf-files, .../docs/guides/audio. Files by URL
are OpenRouter's (https://openrouter.ai/docs/features/multimodal/pdfs), `document_url` is Mistral's
(https://docs.mistral.ai/capabilities/document_ai).
"""

from __future__ import annotations

import binascii
import re
from typing import Any

from penstock.prompt import Audio, Document, Image, Source
from penstock.wire.openai_checks import Notes, invalid, mapping, missing, text

__all__ = ["read_audio", "read_cached", "read_document_url", "read_file", "read_image", "write_document", "write_image"]

_PDF = "application/pdf"
_TYPES = {
    "pdf": _PDF,
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
}
# Text by another name than `text/...`, or by an ending such as that of image/svg+xml (RFC 6838, section 4.2.8).
_TEXTS = re.compile(
    r"text/.*|application/(json|jsonl|x-ndjson|xml|yaml|x-yaml|toml|javascript|x-sh|sql)|.*\+(json|xml|yaml)"
)


def read_cached(part: dict[str, Any], path: str, notes: Notes) -> str | None:
    """A `cache_control` marker's lifetime, as OpenRouter takes it for Anthropic's models; None for no marker.

    https://openrouter.ai/docs/features/prompt-caching
    """
    marker = part.get("cache_control")
    if marker is None:
        return None
    notes.met("cache_markers", f"{path}.cache_control")
    lifetime = mapping(marker, f"{path}.cache_control").get("ttl")
    return "" if lifetime is None else text(lifetime, f"{path}.cache_control.ttl")


def read_image(part: dict[str, Any], path: str, notes: Notes) -> Image | Document:
    """An `image_url` part; a PDF in one, which clients of several gateways send, is a document.

    Raises:
        InvalidRequest: it is not one.
    """
    place = f"{path}.image_url"
    image = part.get("image_url")
    if isinstance(image, str):  # Mistral's form
        image = {"url": image}
    image = mapping(image, place)
    notes.rest(image, ("url", "detail"), place)
    source = _source(text(image.get("url"), f"{place}.url"), f"{place}.url")
    if source.media_type == _PDF:
        return _noted(Document(source=source, cached=read_cached(part, path, notes)), path, notes)
    notes.met("images", path)
    detail = image.get("detail")
    if detail is not None and text(detail, f"{place}.detail") != "auto":
        notes.met("image_detail", f"{place}.detail")
    return Image(
        source=source,
        detail=detail,
        cached=read_cached(part, path, notes),
    )


def read_audio(part: dict[str, Any], path: str, notes: Notes) -> Audio:
    """An `input_audio` part. Raises InvalidRequest."""
    place = f"{path}.input_audio"
    audio = mapping(part.get("input_audio"), place)
    notes.rest(audio, ("data", "format"), place)
    notes.met("audio_in", path)
    return Audio(data=text(audio.get("data"), f"{place}.data"), format=text(audio.get("format"), f"{place}.format"))


def read_file(part: dict[str, Any], path: str, notes: Notes) -> Document:
    """A `file` part. Raises InvalidRequest."""
    place = f"{path}.file"
    file = mapping(part.get("file"), place)
    notes.rest(file, ("file_data", "file_id", "filename"), place)
    title, data, file_id = (file.get(name) for name in ("filename", "file_data", "file_id"))
    if title is not None:
        text(title, f"{place}.filename")
    if data is not None:
        source = _document(text(data, f"{place}.file_data"), title or "", f"{place}.file_data")
    elif file_id is not None:
        source = Source(file_id=text(file_id, f"{place}.file_id"))
    else:
        raise missing(f"{place}.file_data")
    return _noted(Document(source=source, title=title or None, cached=read_cached(part, path, notes)), path, notes)


def read_document_url(part: dict[str, Any], path: str, notes: Notes) -> Document:
    """Mistral's `document_url` part. Raises InvalidRequest."""
    title = part.get("document_name")
    if title is not None:
        text(title, f"{path}.document_name")
    place = f"{path}.document_url"
    source = _document(text(part.get("document_url"), place), "", place)
    return _noted(Document(source=source, title=title or None, cached=read_cached(part, path, notes)), path, notes)


def write_image(image: Image) -> dict[str, Any] | None:
    """The part, None for an image that is stored at another vendor."""
    source = image.source
    url = source.url if source.data is None else f"data:{source.media_type or 'image/png'};base64,{source.data}"
    if url is None:
        return None
    written = {"url": url}
    if image.detail is not None:
        written["detail"] = image.detail
    return {"type": "image_url", "image_url": written}


def write_document(document: Document) -> list[dict[str, Any]]:
    """The parts, [] for a document by URL or by another vendor's id.

    A text becomes text, headed by its title and context; a PDF's context stands before it.
    """
    source = document.source
    if source.text is not None:
        head = [f"Title: {document.title}"] if document.title else []
        head += [f"Context: {document.context}"] if document.context else []
        return [{"type": "text", "text": "\n".join((*head, "", source.text) if head else (source.text,))}]
    if source.data is None:
        return []
    media_type = source.media_type or _PDF
    name = document.title or "document"
    if media_type == _PDF and not name.lower().endswith(".pdf"):
        name += ".pdf"
    data = f"data:{media_type};base64,{source.data}"
    parts: list[dict[str, Any]] = [{"type": "file", "file": {"filename": name, "file_data": data}}]
    if document.context:
        parts.insert(0, {"type": "text", "text": f"Context of {name}: {document.context}"})
    return parts


def _noted(document: Document, path: str, notes: Notes) -> Document:
    source = document.source
    notes.met("files" if source.file_id else "document_urls" if source.url else "documents", path)
    if document.title:
        notes.met("document_titles", path)
    return document


def _source(url: str, param: str) -> Source:
    if url[:5].lower() == "data:":
        head, comma, data = url[5:].partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise invalid(param, "expected a data URL of the form data:<media type>;base64,<data>")
        return Source(media_type=head.partition(";")[0].strip().lower(), data=_joined(data))
    if url[:7].lower() == "http://" or url[:8].lower() == "https://":
        return Source(url=url)
    raise invalid(param, "expected an http(s) URL or a base64 data URL")


def _document(data: str, title: str, param: str) -> Source:
    ending = title.rpartition(".")[2].lower()
    plain = data[:5].lower() != "data:" and data[:4].lower() != "http" and ending in _TYPES
    source = Source(media_type=_TYPES[ending], data=_joined(data)) if plain else _source(data, param)
    if source.data is None or not _TEXTS.fullmatch(source.media_type):
        return source
    try:
        written = str(binascii.a2b_base64(source.data), "utf-8")
    except ValueError:
        raise invalid(param, "a text must be UTF-8 in base64") from None
    return Source(media_type="text/plain", text=written)


def _joined(data: str) -> str:
    """Base64 without line breaks."""
    return "".join(data.split()) if any(mark in data for mark in " \r\n\t") else data
