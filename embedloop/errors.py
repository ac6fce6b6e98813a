"""The one error taxonomy: what can go wrong, under a stable code, and whether trying again can help.

HTTP status is not known here: `service/problems.py` maps classes to status codes.
"""

from __future__ import annotations

from typing import ClassVar


class EmbedloopError(Exception):
    """Base of every error that Embedloop raises on purpose.

    Attributes:
        code: Stable machine-readable name, part of the API.
        retryable: Whether the same call can succeed later without being changed.
        field: The input field at fault, as a caller would write it (`top_k`, `policy.gate.metric`), if any.
        retry_after_seconds: How long to wait before trying again, when known.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: str | None = None, retry_after_seconds: float | None = None):
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_seconds = retry_after_seconds


class InvalidInput(EmbedloopError):
    """A value from outside is wrong; the message holds the value and what would be right."""

    code = "invalid_input"


class TooLarge(EmbedloopError):
    """A request or a document exceeds a size limit."""

    code = "too_large"


class DocumentRejected(EmbedloopError):
    """The corpus' policy keeps such documents out: an error page, filler, garbled text, another language.

    Attributes:
        reason: Stable name of the rule that it failed.
        detail: The numbers behind it.
    """

    code = "document_rejected"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = "text",
        retry_after_seconds: float | None = None,
        reason: str = "",
        detail: str = "",
    ):
        super().__init__(message, field=field, retry_after_seconds=retry_after_seconds)
        self.reason = reason
        self.detail = detail


class NearDuplicate(EmbedloopError):
    """The corpus' policy keeps near duplicates out; the message names the document that is there already."""

    code = "near_duplicate"


class NotFound(EmbedloopError):
    """The thing named does not exist, or the caller may not know that it does."""

    code = "not_found"


class Unauthorised(EmbedloopError):
    """No key, or one that is not known."""

    code = "unauthorised"


class Forbidden(EmbedloopError):
    """The key is known and does not allow this."""

    code = "forbidden"


class Conflict(EmbedloopError):
    """The request contradicts the present state (a name taken, a job that runs, a split fixed earlier)."""

    code = "conflict"


class TooLittleFeedback(EmbedloopError):
    """There are fewer judgments than training or the gate needs."""

    code = "too_little_feedback"


class NotReady(EmbedloopError):
    """The corpus has no serving index version yet."""

    code = "not_ready"
    retryable = True


class QueueFull(EmbedloopError):
    """More queries wait than the service takes."""

    code = "queue_full"
    retryable = True


class Unavailable(EmbedloopError):
    """A part that Embedloop stands on (catalog, Milvus, broker) does not answer."""

    code = "unavailable"
    retryable = True


class Misconfigured(EmbedloopError):
    """A part that Embedloop stands on refuses it for good: a wrong token, or a server that is too old."""

    code = "misconfigured"


class DeadlineExceeded(EmbedloopError):
    """An outside call took longer than its timeout."""

    code = "deadline_exceeded"
    retryable = True


class CollectionNotFound(EmbedloopError):
    """The Milvus collection is gone: refresh the serving and try once more."""

    code = "collection_not_found"
    retryable = True


class LeaseLost(EmbedloopError):
    """Another worker holds the lease now; whatever this one was doing must stop."""

    code = "lease_lost"


class JobCancelled(EmbedloopError):
    """Somebody asked for the job to end."""

    code = "cancelled"


class ModelRefused(EmbedloopError):
    """A model folder has no safetensors, differs from its manifest, or needs remote code."""

    code = "model_refused"


class TrainingFailed(EmbedloopError):
    """The training process ended without a model."""

    code = "training_failed"


class VerificationFailed(EmbedloopError):
    """A new index version does not hold what the catalog says it must hold."""

    code = "verification_failed"


class PromotionRefused(EmbedloopError):
    """The candidate may not serve: unverified, against the gate, behind, or a replica was not ready for it."""

    code = "promotion_refused"


class MissingExtra(EmbedloopError):
    """An optional dependency is not installed; the message names the extra."""

    code = "missing_extra"
