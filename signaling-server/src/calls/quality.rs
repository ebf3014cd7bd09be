//! How well calls go: one row per second and side, and a summary per call. The rows of a call are deleted some time
//! after its end, all of them at once; the summary is not.

use std::time::Duration;

use bedside_protocol::{
    CallId, ErrorCode, Problem, Timestamp, UserId,
    call::CallRecord,
    quality::{QualityClass, QualityMetrics, StoredQualityMetrics},
};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    clock,
    db::{Database, signed},
    fault::Fault,
};

/// The most seconds in one request.
pub const MAX_BATCH: usize = 60;

/// How far outside its call a second may lie, ms: computers' clocks are set wrong, to another time zone for instance.
const OFF_MS: i64 = 24 * 3600 * 1000;

/// How many seconds of a side are kept beyond those that the call has had.
const SPARE_SECONDS: u64 = 60;

/// Reads and writes quality metrics.
pub struct Quality {
    db: Database,
    retention: Duration,
}

impl Quality {
    pub(super) const fn new(db: Database, retention: Duration) -> Self {
        Self { db, retention }
    }

    /// Keeps what `user` measured, all of it or nothing; what is there already stays as it is. The caller has checked
    /// that they take part in the call. It may be over for any time: a device sends what it has when it can. When that
    /// is too late, nothing is kept and nobody has to know.
    ///
    /// # Errors
    /// `invalid_value` for an empty or too long batch, values out of range, times that are not of the call, or more
    /// seconds than it has had; or the database failed.
    pub(super) async fn keep(
        &self,
        call: &CallRecord,
        user: UserId,
        batch: &[QualityMetrics],
    ) -> Result<(), Fault> {
        if batch.is_empty() || batch.len() > MAX_BATCH {
            return Err(invalid(format!("Send 1 to {MAX_BATCH} seconds at once.")));
        }
        if !batch.iter().all(in_range) {
            return Err(invalid("packet_loss is 0 to 1, and no value is negative.".to_owned()));
        }
        let (from, until) = (call.initiated_at, call.ended_at.unwrap_or_else(clock::now));
        let times = Timestamp(from.0 - OFF_MS)..=Timestamp(until.0 + OFF_MS);
        if !batch.iter().all(|metrics| times.contains(&metrics.at)) {
            return Err(invalid(
                "at is a time of the call, by a clock that is off by a day at most.".to_owned(),
            ));
        }
        let most = until.millis_since(from) / 1000 + SPARE_SECONDS;
        let mut tx = self.db.write.begin().await?;
        if is_swept(&mut tx, call.call_id).await? {
            return Ok(());
        }
        for metrics in batch {
            insert(&mut tx, call.call_id, user, metrics).await?;
        }
        if seconds_of(&mut tx, call.call_id, user).await? > most {
            return Err(invalid("These are more seconds than the call has had.".to_owned()));
        }
        sum_up(&mut tx, call.call_id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Deletes the seconds of calls that have been over for long enough. A transaction for each: others write between.
    pub(super) async fn sweep(&self) -> Result<(), Fault> {
        let retention = i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX);
        let before = clock::now().0.saturating_sub(retention);
        loop {
            let mut tx = self.db.write.begin().await?;
            let swept = sqlx::query(
                "UPDATE calls SET quality_swept = 1 WHERE id =
                    (SELECT id FROM calls WHERE quality_swept = 0 AND ended_at IS NOT NULL AND ended_at < ?1 LIMIT 1)
                 RETURNING id",
            )
            .bind(before)
            .fetch_optional(&mut *tx)
            .await?;
            let Some(swept) = swept else { return Ok(()) };
            sqlx::query("DELETE FROM call_quality WHERE call_id = ?1")
                .bind(swept.try_get::<uuid::Uuid, _>("id")?)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
        }
    }

    /// A page of what both sides measured, in order of time, and how many seconds there are in all.
    ///
    /// # Errors
    /// The database failed.
    pub async fn page(
        &self,
        call: CallId,
        offset: u64,
        limit: u32,
    ) -> Result<(Vec<StoredQualityMetrics>, u64), Fault> {
        let total: u64 = sqlx::query("SELECT COUNT(*) FROM call_quality WHERE call_id = ?1")
            .bind(call.0)
            .fetch_one(&self.db.read)
            .await?
            .try_get(0)?;
        let rows = sqlx::query(
            "SELECT * FROM call_quality WHERE call_id = ?1 ORDER BY at, user_id LIMIT ?2 OFFSET ?3",
        )
        .bind(call.0)
        .bind(limit)
        .bind(signed(offset))
        .fetch_all(&self.db.read)
        .await?;
        let metrics = rows.iter().map(stored_of).collect::<Result<_, Fault>>()?;
        Ok((metrics, total))
    }
}

/// Writes the summary of a call that is over.
pub(super) async fn sum_up(connection: &mut SqliteConnection, call: CallId) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE calls SET quality_summary = (
            SELECT json_object('seconds', COUNT(*), 'rtt_ms', AVG(rtt_ms), 'packet_loss', AVG(packet_loss),
                'jitter_ms', AVG(jitter_ms), 'freezes', SUM(freezes), 'concealed_ms', SUM(concealed_ms),
                'audio_quality', AVG(audio_quality), 'video_quality', AVG(video_quality))
            FROM call_quality WHERE call_id = ?1 HAVING COUNT(*) > 0)
         WHERE id = ?1 AND ended_at IS NOT NULL AND quality_swept = 0",
    )
    .bind(call.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether a call's seconds are deleted.
async fn is_swept(connection: &mut SqliteConnection, call: CallId) -> Result<bool, Fault> {
    let row = sqlx::query("SELECT quality_swept FROM calls WHERE id = ?1")
        .bind(call.0)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get("quality_swept")).transpose()?.unwrap_or_default())
}

/// How many seconds are kept of one side.
async fn seconds_of(connection: &mut SqliteConnection, call: CallId, user: UserId) -> Result<u64, Fault> {
    let row = sqlx::query("SELECT COUNT(*) FROM call_quality WHERE call_id = ?1 AND user_id = ?2")
        .bind(call.0)
        .bind(user.0)
        .fetch_one(connection)
        .await?;
    Ok(row.try_get(0)?)
}

async fn insert(
    connection: &mut SqliteConnection,
    call: CallId,
    user: UserId,
    metrics: &QualityMetrics,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT OR IGNORE INTO call_quality (call_id, user_id, at, rtt_ms, packet_loss, jitter_ms,
            available_bandwidth_bps, audio_bitrate_bps, video_bitrate_bps, video_width, video_height, frame_rate,
            freezes, concealed_ms, jitter_buffer_ms, encode_ms, decode_ms, cpu_percent, memory_bytes,
            audio_quality, video_quality)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
    )
    .bind(call.0)
    .bind(user.0)
    .bind(metrics.at.0)
    .bind(metrics.rtt_ms)
    .bind(metrics.packet_loss)
    .bind(metrics.jitter_ms)
    .bind(metrics.available_bandwidth_bps)
    .bind(metrics.audio_bitrate_bps)
    .bind(metrics.video_bitrate_bps)
    .bind(metrics.video_width)
    .bind(metrics.video_height)
    .bind(metrics.frame_rate)
    .bind(metrics.freezes)
    .bind(metrics.concealed_ms)
    .bind(metrics.jitter_buffer_ms)
    .bind(metrics.encode_ms)
    .bind(metrics.decode_ms)
    .bind(metrics.cpu_percent)
    .bind(signed(metrics.memory_bytes))
    .bind(metrics.audio_quality.map(class_number))
    .bind(metrics.video_quality.map(class_number))
    .execute(connection)
    .await?;
    Ok(())
}

fn stored_of(row: &SqliteRow) -> Result<StoredQualityMetrics, Fault> {
    Ok(StoredQualityMetrics {
        user_id: UserId(row.try_get("user_id")?),
        metrics: QualityMetrics {
            at: Timestamp(row.try_get("at")?),
            rtt_ms: row.try_get("rtt_ms")?,
            packet_loss: row.try_get("packet_loss")?,
            jitter_ms: row.try_get("jitter_ms")?,
            available_bandwidth_bps: row.try_get("available_bandwidth_bps")?,
            audio_bitrate_bps: row.try_get("audio_bitrate_bps")?,
            video_bitrate_bps: row.try_get("video_bitrate_bps")?,
            video_width: row.try_get("video_width")?,
            video_height: row.try_get("video_height")?,
            frame_rate: row.try_get("frame_rate")?,
            freezes: row.try_get("freezes")?,
            concealed_ms: row.try_get("concealed_ms")?,
            jitter_buffer_ms: row.try_get("jitter_buffer_ms")?,
            encode_ms: row.try_get("encode_ms")?,
            decode_ms: row.try_get("decode_ms")?,
            cpu_percent: row.try_get("cpu_percent")?,
            memory_bytes: row.try_get("memory_bytes")?,
            audio_quality: row.try_get::<Option<_>, _>("audio_quality")?.map(class_of),
            video_quality: row.try_get::<Option<_>, _>("video_quality")?.map(class_of),
        },
    })
}

fn in_range(metrics: &QualityMetrics) -> bool {
    let times = [
        metrics.rtt_ms,
        metrics.jitter_ms,
        metrics.frame_rate,
        metrics.encode_ms,
        metrics.decode_ms,
        metrics.cpu_percent,
    ];
    (0.0..=1.0).contains(&metrics.packet_loss) && times.iter().all(|value| *value >= 0.0)
}

fn invalid(detail: String) -> Fault {
    Problem::new(ErrorCode::InvalidValue).with_detail(detail).into()
}

const fn class_number(class: QualityClass) -> i64 {
    match class {
        QualityClass::Poor => 0,
        QualityClass::Fair => 1,
        QualityClass::Good => 2,
        QualityClass::Excellent => 3,
    }
}

const fn class_of(number: i64) -> QualityClass {
    match number {
        ..=0 => QualityClass::Poor,
        1 => QualityClass::Fair,
        2 => QualityClass::Good,
        3.. => QualityClass::Excellent,
    }
}
