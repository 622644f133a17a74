from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClientMessage(_message.Message):
    __slots__ = ("open", "run", "tool_result", "cancel_run", "chunk", "batch", "replay_part")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    TOOL_RESULT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_RUN_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    REPLAY_PART_FIELD_NUMBER: _ClassVar[int]
    open: Open
    run: Run
    tool_result: ToolResult
    cancel_run: CancelRun
    chunk: Chunk
    batch: ClientBatch
    replay_part: ReplayPart
    def __init__(self, open: _Optional[_Union[Open, _Mapping]] = ..., run: _Optional[_Union[Run, _Mapping]] = ..., tool_result: _Optional[_Union[ToolResult, _Mapping]] = ..., cancel_run: _Optional[_Union[CancelRun, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., batch: _Optional[_Union[ClientBatch, _Mapping]] = ..., replay_part: _Optional[_Union[ReplayPart, _Mapping]] = ...) -> None: ...

class ClientBatch(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[ClientMessage]
    def __init__(self, messages: _Optional[_Iterable[_Union[ClientMessage, _Mapping]]] = ...) -> None: ...

class ExecutorMessage(_message.Message):
    __slots__ = ("started", "output", "tool_call", "tool_call_cancelled", "progress", "completed", "failed", "chunk", "batch", "artifact", "steps")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_CANCELLED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    started: Started
    output: Output
    tool_call: ToolCall
    tool_call_cancelled: ToolCallCancelled
    progress: Progress
    completed: Completed
    failed: Failed
    chunk: Chunk
    batch: ExecutorBatch
    artifact: Artifact
    steps: Steps
    def __init__(self, started: _Optional[_Union[Started, _Mapping]] = ..., output: _Optional[_Union[Output, _Mapping]] = ..., tool_call: _Optional[_Union[ToolCall, _Mapping]] = ..., tool_call_cancelled: _Optional[_Union[ToolCallCancelled, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., completed: _Optional[_Union[Completed, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., batch: _Optional[_Union[ExecutorBatch, _Mapping]] = ..., artifact: _Optional[_Union[Artifact, _Mapping]] = ..., steps: _Optional[_Union[Steps, _Mapping]] = ...) -> None: ...

class ExecutorBatch(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[ExecutorMessage]
    def __init__(self, messages: _Optional[_Iterable[_Union[ExecutorMessage, _Mapping]]] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("protocol_version", "client_version", "profile", "limits", "tools", "session", "fairness_key", "queue_timeout", "run", "idle_timeout", "accepts_batches", "within_execution_id", "tool_names", "answers_lookups", "accepts_artifacts")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    FAIRNESS_KEY_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_BATCHES_FIELD_NUMBER: _ClassVar[int]
    WITHIN_EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAMES_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_LOOKUPS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    client_version: str
    profile: str
    limits: Limits
    tools: _containers.RepeatedCompositeFieldContainer[ToolSpec]
    session: bool
    fairness_key: str
    queue_timeout: float
    run: Run
    idle_timeout: float
    accepts_batches: bool
    within_execution_id: str
    tool_names: str
    answers_lookups: bool
    accepts_artifacts: bool
    def __init__(self, protocol_version: _Optional[int] = ..., client_version: _Optional[str] = ..., profile: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., tools: _Optional[_Iterable[_Union[ToolSpec, _Mapping]]] = ..., session: bool = ..., fairness_key: _Optional[str] = ..., queue_timeout: _Optional[float] = ..., run: _Optional[_Union[Run, _Mapping]] = ..., idle_timeout: _Optional[float] = ..., accepts_batches: bool = ..., within_execution_id: _Optional[str] = ..., tool_names: _Optional[str] = ..., answers_lookups: bool = ..., accepts_artifacts: bool = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_cpu_seconds", "max_memory_bytes", "max_threads", "max_open_files", "max_disk_bytes", "max_output_bytes", "max_value_bytes", "max_code_bytes", "max_tool_calls", "max_tool_calls_in_flight", "max_artifacts", "max_artifact_bytes")
    MAX_CPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_THREADS_FIELD_NUMBER: _ClassVar[int]
    MAX_OPEN_FILES_FIELD_NUMBER: _ClassVar[int]
    MAX_DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_VALUE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_CODE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOOL_CALLS_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    MAX_ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    MAX_ARTIFACT_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_cpu_seconds: float
    max_memory_bytes: int
    max_threads: int
    max_open_files: int
    max_disk_bytes: int
    max_output_bytes: int
    max_value_bytes: int
    max_code_bytes: int
    max_tool_calls: int
    max_tool_calls_in_flight: int
    max_artifacts: int
    max_artifact_bytes: int
    def __init__(self, max_cpu_seconds: _Optional[float] = ..., max_memory_bytes: _Optional[int] = ..., max_threads: _Optional[int] = ..., max_open_files: _Optional[int] = ..., max_disk_bytes: _Optional[int] = ..., max_output_bytes: _Optional[int] = ..., max_value_bytes: _Optional[int] = ..., max_code_bytes: _Optional[int] = ..., max_tool_calls: _Optional[int] = ..., max_tool_calls_in_flight: _Optional[int] = ..., max_artifacts: _Optional[int] = ..., max_artifact_bytes: _Optional[int] = ...) -> None: ...

class ToolSpec(_message.Message):
    __slots__ = ("name", "signature", "positional_parameters", "description", "asynchronous", "hidden", "notes", "records", "marks")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    POSITIONAL_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ASYNCHRONOUS_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    name: str
    signature: str
    positional_parameters: _containers.RepeatedScalarFieldContainer[str]
    description: str
    asynchronous: bool
    hidden: bool
    notes: _containers.RepeatedScalarFieldContainer[str]
    records: _containers.RepeatedScalarFieldContainer[str]
    marks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., signature: _Optional[str] = ..., positional_parameters: _Optional[_Iterable[str]] = ..., description: _Optional[str] = ..., asynchronous: bool = ..., hidden: bool = ..., notes: _Optional[_Iterable[str]] = ..., records: _Optional[_Iterable[str]] = ..., marks: _Optional[_Iterable[str]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "code", "inputs", "execution_timeout", "execution_id", "replay", "replay_parts")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    REPLAY_FIELD_NUMBER: _ClassVar[int]
    REPLAY_PARTS_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    code: str
    inputs: bytes
    execution_timeout: float
    execution_id: str
    replay: bytes
    replay_parts: int
    def __init__(self, run_id: _Optional[int] = ..., code: _Optional[str] = ..., inputs: _Optional[bytes] = ..., execution_timeout: _Optional[float] = ..., execution_id: _Optional[str] = ..., replay: _Optional[bytes] = ..., replay_parts: _Optional[int] = ...) -> None: ...

class ReplayPart(_message.Message):
    __slots__ = ("run_id", "data")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    data: bytes
    def __init__(self, run_id: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class ToolResult(_message.Message):
    __slots__ = ("run_id", "call_id", "value", "failure")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    call_id: int
    value: bytes
    failure: ToolFailure
    def __init__(self, run_id: _Optional[int] = ..., call_id: _Optional[int] = ..., value: _Optional[bytes] = ..., failure: _Optional[_Union[ToolFailure, _Mapping]] = ...) -> None: ...

class ToolFailure(_message.Message):
    __slots__ = ("kind", "type", "message")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    type: str
    message: str
    def __init__(self, kind: _Optional[str] = ..., type: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class CancelRun(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    def __init__(self, run_id: _Optional[int] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("run_id", "execution_id", "isolation", "protocol_version", "executor_version", "features", "python_version")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    execution_id: str
    isolation: str
    protocol_version: int
    executor_version: str
    features: _containers.RepeatedScalarFieldContainer[str]
    python_version: str
    def __init__(self, run_id: _Optional[int] = ..., execution_id: _Optional[str] = ..., isolation: _Optional[str] = ..., protocol_version: _Optional[int] = ..., executor_version: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ..., python_version: _Optional[str] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("run_id", "stream", "text")
    class Stream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STREAM_UNSPECIFIED: _ClassVar[Output.Stream]
        STREAM_STDOUT: _ClassVar[Output.Stream]
        STREAM_STDERR: _ClassVar[Output.Stream]
    STREAM_UNSPECIFIED: Output.Stream
    STREAM_STDOUT: Output.Stream
    STREAM_STDERR: Output.Stream
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    stream: Output.Stream
    text: str
    def __init__(self, run_id: _Optional[int] = ..., stream: _Optional[_Union[Output.Stream, str]] = ..., text: _Optional[str] = ...) -> None: ...

class ToolCall(_message.Message):
    __slots__ = ("run_id", "call_id", "name", "arguments", "label", "steps")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    call_id: int
    name: str
    arguments: bytes
    label: str
    steps: bytes
    def __init__(self, run_id: _Optional[int] = ..., call_id: _Optional[int] = ..., name: _Optional[str] = ..., arguments: _Optional[bytes] = ..., label: _Optional[str] = ..., steps: _Optional[bytes] = ...) -> None: ...

class Steps(_message.Message):
    __slots__ = ("run_id", "data")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    data: bytes
    def __init__(self, run_id: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class ToolCallCancelled(_message.Message):
    __slots__ = ("run_id", "call_id")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    call_id: int
    def __init__(self, run_id: _Optional[int] = ..., call_id: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("run_id", "done", "total", "note")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    done: float
    total: float
    note: str
    def __init__(self, run_id: _Optional[int] = ..., done: _Optional[float] = ..., total: _Optional[float] = ..., note: _Optional[str] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("run_id", "name", "data")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    name: str
    data: bytes
    def __init__(self, run_id: _Optional[int] = ..., name: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class Completed(_message.Message):
    __slots__ = ("run_id", "value", "usage", "hints")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    HINTS_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    value: bytes
    usage: Usage
    hints: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, run_id: _Optional[int] = ..., value: _Optional[bytes] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., hints: _Optional[_Iterable[str]] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("run_id", "status", "type", "message", "line", "traceback", "usage", "hints", "divergence")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    HINTS_FIELD_NUMBER: _ClassVar[int]
    DIVERGENCE_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    status: str
    type: str
    message: str
    line: int
    traceback: str
    usage: Usage
    hints: _containers.RepeatedScalarFieldContainer[str]
    divergence: Divergence
    def __init__(self, run_id: _Optional[int] = ..., status: _Optional[str] = ..., type: _Optional[str] = ..., message: _Optional[str] = ..., line: _Optional[int] = ..., traceback: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., hints: _Optional[_Iterable[str]] = ..., divergence: _Optional[_Union[Divergence, _Mapping]] = ...) -> None: ...

class Divergence(_message.Message):
    __slots__ = ("reason", "label", "name", "arguments", "expected")
    REASON_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    reason: str
    label: str
    name: str
    arguments: bytes
    expected: str
    def __init__(self, reason: _Optional[str] = ..., label: _Optional[str] = ..., name: _Optional[str] = ..., arguments: _Optional[bytes] = ..., expected: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("wall_seconds", "cpu_seconds", "max_rss_bytes", "output_bytes", "tool_calls")
    WALL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    wall_seconds: float
    cpu_seconds: float
    max_rss_bytes: int
    output_bytes: int
    tool_calls: int
    def __init__(self, wall_seconds: _Optional[float] = ..., cpu_seconds: _Optional[float] = ..., max_rss_bytes: _Optional[int] = ..., output_bytes: _Optional[int] = ..., tool_calls: _Optional[int] = ...) -> None: ...

class GetInfoRequest(_message.Message):
    __slots__ = ("protocol_version", "client_version")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    client_version: str
    def __init__(self, protocol_version: _Optional[int] = ..., client_version: _Optional[str] = ...) -> None: ...

class GetInfoResponse(_message.Message):
    __slots__ = ("protocol_version", "executor_version", "python_version", "isolation", "isolation_detail", "default_limits", "ceilings", "max_execution_timeout", "profiles", "max_concurrency", "max_queued", "features")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_VERSION_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_DETAIL_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_LIMITS_FIELD_NUMBER: _ClassVar[int]
    CEILINGS_FIELD_NUMBER: _ClassVar[int]
    MAX_EXECUTION_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    MAX_QUEUED_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    executor_version: str
    python_version: str
    isolation: str
    isolation_detail: str
    default_limits: Limits
    ceilings: Limits
    max_execution_timeout: float
    profiles: _containers.RepeatedCompositeFieldContainer[Profile]
    max_concurrency: int
    max_queued: int
    features: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol_version: _Optional[int] = ..., executor_version: _Optional[str] = ..., python_version: _Optional[str] = ..., isolation: _Optional[str] = ..., isolation_detail: _Optional[str] = ..., default_limits: _Optional[_Union[Limits, _Mapping]] = ..., ceilings: _Optional[_Union[Limits, _Mapping]] = ..., max_execution_timeout: _Optional[float] = ..., profiles: _Optional[_Iterable[_Union[Profile, _Mapping]]] = ..., max_concurrency: _Optional[int] = ..., max_queued: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ...) -> None: ...

class Profile(_message.Message):
    __slots__ = ("name", "preloaded_modules")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRELOADED_MODULES_FIELD_NUMBER: _ClassVar[int]
    name: str
    preloaded_modules: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., preloaded_modules: _Optional[_Iterable[str]] = ...) -> None: ...
