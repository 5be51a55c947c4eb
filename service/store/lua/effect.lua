-- Effects happen once: outcome(kind, id, run) looks up what an effect id gave before; settle(...) keeps it.
-- An agent's outcomes live in its run's hash and end with it; others live a day, 10,000 of them at the most.
-- A recorded outcome is {"f": fingerprint, "v": version, "c": changed, "b": block}. Refusals are not recorded.
-- include: clock
local OUTCOMES_KEPT = 10000
local OUTCOME_MS = 86400000

local function outcome(id, run)
  if id == '' then return nil end
  local text
  if run ~= '' then text = redis.call('HGET', K.run_effects(run), id) else text = redis.call('GET', K.edit(id)) end
  return text and cjson.decode(text) or nil
end

local function settle(id, run, fingerprint, version, changed, block)
  if id == '' then return end
  local text = cjson.encode({f = fingerprint, v = version, c = changed, b = block})
  if run ~= '' then
    redis.call('HSET', K.run_effects(run), id, text)
    return
  end
  redis.call('SET', K.edit(id), text, 'PX', OUTCOME_MS)
  redis.call('ZADD', K.edits(), MILLIS, id)
  if redis.call('ZCARD', K.edits()) > OUTCOMES_KEPT then
    local oldest = redis.call('ZPOPMIN', K.edits())
    redis.call('DEL', K.edit(oldest[1]))
  end
end
