"""support: what a user has written to support, and how the assistant should answer.

One row per answer of the assistant, in the form that chat models are trained with: `messages` is the whole conversation
up to and with the answer ([{role, content}], roles system, user, assistant), `prompt` the same without it, `answer` its
text. With `view=preferences` one row per answer that has a worse twin: `chosen` and `rejected` are one assistant
message each, `flaw` names what is wrong with the second.

The system message holds the help texts that the assistant was shown when it answered: those that a search by words
finds for what the user had written by then. So a model learns to answer from texts that it is given, and to name them,
which survives a change of the texts; `system=none` leaves them out, for a model that should know them by heart.

Conversations that an audit did not pass (what was said is in no help text, the user gave up, somebody begged) are left
out, unless `conversations=all`: then `passed` tells them apart.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sinks.training.task import KEYS, TRAIL, Column, Options

MESSAGE = 'STRUCT("role" VARCHAR, "content" VARCHAR)'
_TURNS = '[{"role": "VARCHAR", "text": "VARCHAR", "seconds": "DOUBLE", "shown": ["VARCHAR"], "cited": ["VARCHAR"]}]'
_REJECTED = '[{"turn": "INTEGER", "text": "VARCHAR", "flaw": "VARCHAR"}]'
RULES = (
    "You answer users who write to support. Say only what the help texts below say, name the id of each one that you "
    "answer from in brackets, and be brief and friendly. Where they do not help, pass the user on to a person."
)


class SupportOptions(Options):
    """See Support."""

    view: Literal["chats", "preferences"] = Field(
        "chats", description="chats: one row per answer; preferences: per answer with a worse twin"
    )
    system: Literal["help", "none"] = Field(
        "help", description="help: the help texts that were found stand in a system message; none: no system message"
    )
    conversations: Literal["passed", "all"] = Field(
        "passed", description="passed: only conversations that passed their audit; all: every one"
    )


class Support:
    """Implements Task."""

    name: ClassVar[str] = "support"
    summary: ClassVar[str] = "What users write to support, and how an assistant should answer"
    grain: ClassVar[str] = "one row per answer of the assistant, or per answer that has a worse twin"
    kind: ClassVar[Literal["conversation"]] = "conversation"
    options: ClassVar[type[Options]] = SupportOptions

    def columns(self, options: Options) -> tuple[Column, ...]:
        """See Task."""
        assert isinstance(options, SupportOptions)
        asked = (
            *KEYS,
            Column("session_id", "key", "VARCHAR", "The session in which the user wrote"),
            Column("conversation_id", "key", "VARCHAR", "The conversation"),
            Column("turn", "key", "INTEGER", "Which message of the conversation the answer is, from 0"),
            Column("time", "time", "TIMESTAMPTZ", "When the user sent the message that is answered (UTC)"),
            Column("prompt", "feature", f"{MESSAGE}[]", "All messages before the answer, as a chat model reads them"),
            Column("language", "feature", "VARCHAR", "Language of the user's messages (ISO 639-1)"),
            Column("user_messages", "feature", "INTEGER", "How many messages the user has written by then"),
        )
        if options.view == "preferences":
            return (
                *asked,
                Column("chosen", "label", f"{MESSAGE}[]", "The answer as one assistant message"),
                Column("rejected", "label", f"{MESSAGE}[]", "An answer that is worse, as one assistant message"),
                Column("flaw", "label", "VARCHAR", "What is wrong with it"),
                Column("passed", "label", "BOOLEAN", "Whether the conversation passed its audit"),
                *TRAIL,
            )
        return (
            *asked,
            Column("answer", "label", "VARCHAR", "What the assistant should answer"),
            Column("messages", "label", f"{MESSAGE}[]", "`prompt` and the answer: what a chat model is trained on"),
            Column("help_ids", "label", "VARCHAR[]", "The help texts that the answer is from"),
            Column("outcome", "label", "VARCHAR", "How the conversation ended: solved, handed_over or given_up"),
            Column("passed", "label", "BOOLEAN", "Whether the conversation passed its audit"),
            *TRAIL,
        )

    def query(self, options: Options) -> str:
        """See Task."""
        assert isinstance(options, SupportOptions)
        spoken = f"[{{'role': turn.role, 'content': turn.text}} FOR turn IN said[:place - 1]]::{MESSAGE}[]"
        if options.system == "help":
            spoken = f"{_message('system', f'$${RULES}$$ || chr(10) || coalesce(help.told, chr(10))')} || {spoken}"
        given = _message("assistant", "said[place].text")
        if options.view == "preferences":
            steps = f"""
                answers AS (
                    SELECT * EXCLUDE (worse), worse.turn + 1 AS place, worse.text AS worse, worse.flaw AS flaw
                    FROM (SELECT * EXCLUDE (rejected), unnest(from_json(rejected, '{_REJECTED}')) AS worse FROM talks)
                    WHERE worse.turn BETWEEN 1 AND len(said) - 1)"""  # noqa: S608 - text of ours
            labels = f"{given} AS chosen, {_message('assistant', 'worse')} AS rejected, flaw, passed"
        else:
            steps = "answers AS (SELECT *, unnest(range(2, len(said) + 1)) AS place FROM talks)"
            labels = (
                f"said[place].text AS answer, prompt || {given} AS messages, "
                "said[place].cited AS help_ids, outcome, passed"
            )
        return f"""
            WITH talks AS (
                SELECT *, from_json(turns, '{_TURNS}') AS said FROM chosen_conversations
                {"WHERE passed" if options.conversations == "passed" else ""}),
            {steps},
            replies AS (
                SELECT * FROM answers WHERE said[place].role = 'assistant' AND said[place - 1].role = 'user'),
            shown AS (
                SELECT run_id, conversation_id, place, unnest(said[place].shown) AS help_id,
                       unnest(range(len(said[place].shown))) AS rank FROM replies),
            help AS (
                SELECT run_id, conversation_id, place,
                       string_agg('[' || help_id || '] ' || title || ': ' || text, chr(10) ORDER BY rank, help_id)
                           AS told
                FROM (SELECT DISTINCT * FROM shown) JOIN chosen_help_texts USING (help_id) GROUP BY ALL),
            prompts AS (
                SELECT replies.*, {spoken} AS prompt
                FROM replies LEFT JOIN help USING (run_id, conversation_id, place))
            SELECT run_id, user_id, session_id, conversation_id, (place - 1)::INTEGER AS turn,
                   time + to_milliseconds((1000 * said[place - 1].seconds)::BIGINT) AS time, prompt, language,
                   len(list_filter(said[:place - 1], lambda each: each.role = 'user'))::INTEGER AS user_messages,
                   {labels}, weight, origin, generator, generation
            FROM prompts ORDER BY run_id, user_id, time, conversation_id, turn{
                ", flaw" if options.view == "preferences" else ""}"""  # noqa: S608 - text of ours


def _message(role: str, content: str) -> str:
    """SQL for a list of one message; `content` is SQL for its text."""
    return f"[{{'role': '{role}', 'content': {content}}}]::{MESSAGE}[]"
