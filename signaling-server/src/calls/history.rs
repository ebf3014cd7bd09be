//! Calls as they are kept: written at every change of phase, read for the history, statistics and a restart.

use bedside_protocol::{
    AppointmentId, CallId, CallPhase, CallType, DeviceId, EndReason, Pii, RoomId, Timestamp, UserId,
    call::{CallRecord, Party},
    rest::CallStatistics,
};
use sqlx::{QueryBuilder, Row, Sqlite, sqlite::SqliteRow};

use super::call_type_name;
use crate::{
    db::{Database, signed},
    fault::Fault,
};

const SELECT: &str = "SELECT c.id, c.room_id, c.appointment_id, c.caller_id, c.caller_device, c.callee_id,
    c.callee_device, c.call_type, c.phase, c.end_reason, c.initiated_at, c.ringing_at, c.accepted_at,
    c.connected_at, c.ends_at, c.ended_at, c.duration_s, a.name AS caller_name, b.name AS callee_name
    FROM calls c JOIN users a ON a.id = c.caller_id JOIN users b ON b.id = c.callee_id";

/// Which calls of the history are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only calls of this user; everybody's when absent.
    pub user: Option<UserId>,
    /// Only this type.
    pub call_type: Option<CallType>,
    /// Only calls in this phase.
    pub phase: Option<CallPhase>,
    /// Initiated at or after.
    pub from: Option<Timestamp>,
    /// Initiated before.
    pub to: Option<Timestamp>,
}

/// Reads and writes calls. Cheap to clone.
#[derive(Clone)]
pub struct History {
    db: Database,
}

impl History {
    pub(super) const fn new(db: Database) -> Self {
        Self { db }
    }

    /// Stores a call as it stands, with its participants; when it is over, its tokens end and its quality is
    /// summed up.
    pub(super) async fn store(&self, call: &CallRecord) -> Result<(), Fault> {
        let mut tx = self.db.write.begin().await?;
        sqlx::query(
            "INSERT INTO calls (id, room_id, appointment_id, caller_id, caller_device, callee_id, callee_device,
                call_type, phase, end_reason, initiated_at, ringing_at, accepted_at, connected_at, ended_at,
                duration_s, ends_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
             ON CONFLICT (id) DO UPDATE SET callee_device = excluded.callee_device,
                call_type = excluded.call_type, phase = excluded.phase, end_reason = excluded.end_reason,
                ringing_at = excluded.ringing_at, accepted_at = excluded.accepted_at,
                connected_at = excluded.connected_at, ended_at = excluded.ended_at,
                duration_s = excluded.duration_s, ends_at = excluded.ends_at",
        )
        .bind(call.call_id.0)
        .bind(call.room_id.0)
        .bind(call.appointment_id.map(|id| id.0))
        .bind(call.caller.user_id.0)
        .bind(call.caller.device_id.map(|id| id.0))
        .bind(call.callee.user_id.0)
        .bind(call.callee.device_id.map(|id| id.0))
        .bind(call_type_name(call.call_type))
        .bind(call.phase.as_str())
        .bind(call.end_reason.map(EndReason::as_str))
        .bind(call.initiated_at.0)
        .bind(call.ringing_at.map(|at| at.0))
        .bind(call.accepted_at.map(|at| at.0))
        .bind(call.connected_at.map(|at| at.0))
        .bind(call.ended_at.map(|at| at.0))
        .bind(signed(call.duration_s))
        .bind(call.ends_at.map(|at| at.0))
        .execute(&mut *tx)
        .await?;
        if let Some(joined_at) = call.accepted_at {
            for (party, side) in [(&call.caller, "caller"), (&call.callee, "callee")] {
                let Some(device) = party.device_id else { continue };
                sqlx::query(
                    "INSERT INTO call_participants (call_id, user_id, device_id, side, joined_at, left_at, reason)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT DO UPDATE SET left_at = excluded.left_at, reason = excluded.reason",
                )
                .bind(call.call_id.0)
                .bind(party.user_id.0)
                .bind(device.0)
                .bind(side)
                .bind(joined_at.0)
                .bind(call.ended_at.map(|at| at.0))
                .bind(call.end_reason.map(EndReason::as_str))
                .execute(&mut *tx)
                .await?;
            }
        }
        if call.phase.is_final() {
            sqlx::query("DELETE FROM room_tokens WHERE call_id = ?1")
                .bind(call.call_id.0)
                .execute(&mut *tx)
                .await?;
            super::quality::sum_up(&mut tx, call.call_id).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Calls that are not over.
    pub(super) async fn live(&self) -> Result<Vec<CallRecord>, Fault> {
        let sql = format!("{SELECT} WHERE c.phase NOT IN ('ended', 'failed', 'missed')");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.db.write).await?;
        rows.iter().map(record_of).collect()
    }

    /// One call.
    ///
    /// # Errors
    /// The database failed.
    pub async fn find(&self, call: CallId) -> Result<Option<CallRecord>, Fault> {
        let sql = format!("{SELECT} WHERE c.id = ?1");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(call.0).fetch_optional(&self.db.read).await?;
        row.as_ref().map(record_of).transpose()
    }

    /// A page of the history, newest first, and how many calls match in all.
    ///
    /// # Errors
    /// The database failed.
    pub async fn page(
        &self,
        filter: &Filter,
        offset: u64,
        limit: u32,
    ) -> Result<(Vec<CallRecord>, u64), Fault> {
        let mut count = QueryBuilder::new("SELECT COUNT(*) FROM calls c");
        filter.narrow(&mut count);
        let total: u64 = count.build().fetch_one(&self.db.read).await?.try_get(0)?;
        let mut select = QueryBuilder::new(SELECT);
        filter.narrow(&mut select);
        select
            .push(" ORDER BY c.initiated_at DESC, c.id LIMIT ")
            .push_bind(limit)
            .push(" OFFSET ")
            .push_bind(signed(offset));
        let rows = select.build().fetch_all(&self.db.read).await?;
        let records = rows.iter().map(record_of).collect::<Result<_, Fault>>()?;
        Ok((records, total))
    }

    /// Totals of the calls that match.
    ///
    /// # Errors
    /// The database failed.
    pub async fn statistics(&self, filter: &Filter) -> Result<CallStatistics, Fault> {
        let mut query = QueryBuilder::new(
            "SELECT COUNT(*), COALESCE(SUM(c.connected_at IS NOT NULL AND c.ended_at IS NOT NULL), 0),
                COALESCE(SUM(c.phase = 'missed'), 0),
                COALESCE(SUM(c.end_reason IN ('callee_declined', 'busy')), 0),
                COALESCE(SUM(c.call_type = 'video'), 0), COALESCE(SUM(c.call_type = 'voice'), 0),
                COALESCE(AVG(CASE WHEN c.connected_at IS NOT NULL AND c.ended_at IS NOT NULL
                    THEN c.duration_s END), 0.0)
             FROM calls c",
        );
        filter.narrow(&mut query);
        let row = query.build().fetch_one(&self.db.read).await?;
        let count = |index: usize| row.try_get::<u64, _>(index);
        Ok(CallStatistics {
            total_calls: count(0)?,
            completed_calls: count(1)?,
            missed_calls: count(2)?,
            declined_calls: count(3)?,
            video_calls: count(4)?,
            voice_calls: count(5)?,
            average_duration: row.try_get(6)?,
        })
    }
}

impl Filter {
    fn narrow(&self, query: &mut QueryBuilder<Sqlite>) {
        query.push(" WHERE 1 = 1");
        if let Some(user) = self.user {
            query.push(" AND (c.caller_id = ").push_bind(user.0);
            query.push(" OR c.callee_id = ").push_bind(user.0).push(")");
        }
        if let Some(call_type) = self.call_type {
            query.push(" AND c.call_type = ").push_bind(call_type_name(call_type));
        }
        if let Some(phase) = self.phase {
            query.push(" AND c.phase = ").push_bind(phase.as_str());
        }
        if let Some(from) = self.from {
            query.push(" AND c.initiated_at >= ").push_bind(from.0);
        }
        if let Some(to) = self.to {
            query.push(" AND c.initiated_at < ").push_bind(to.0);
        }
    }
}

fn record_of(row: &SqliteRow) -> Result<CallRecord, Fault> {
    const BROKEN: Fault = Fault::Internal("a call in the database holds an unknown word");
    let time = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(Timestamp));
    let device = |column: &str| row.try_get(column).map(|id: Option<_>| id.map(DeviceId));
    let phase: String = row.try_get("phase")?;
    let end_reason: Option<String> = row.try_get("end_reason")?;
    let call_type: String = row.try_get("call_type")?;
    Ok(CallRecord {
        call_id: CallId(row.try_get("id")?),
        room_id: RoomId(row.try_get("room_id")?),
        caller: Party {
            user_id: UserId(row.try_get("caller_id")?),
            name: Pii::new(row.try_get("caller_name")?),
            device_id: device("caller_device")?,
        },
        callee: Party {
            user_id: UserId(row.try_get("callee_id")?),
            name: Pii::new(row.try_get("callee_name")?),
            device_id: device("callee_device")?,
        },
        call_type: match &*call_type {
            "voice" => CallType::Voice,
            "video" => CallType::Video,
            _ => return Err(BROKEN),
        },
        phase: CallPhase::parse(&phase).ok_or(BROKEN)?,
        end_reason: end_reason.map(|name| EndReason::parse(&name).ok_or(BROKEN)).transpose()?,
        appointment_id: row.try_get::<Option<_>, _>("appointment_id")?.map(AppointmentId),
        initiated_at: Timestamp(row.try_get("initiated_at")?),
        ringing_at: time("ringing_at")?,
        accepted_at: time("accepted_at")?,
        connected_at: time("connected_at")?,
        ends_at: time("ends_at")?,
        ended_at: time("ended_at")?,
        duration_s: row.try_get("duration_s")?,
    })
}
