-- tell(run, event): one event (JSON) into a run's output, if somebody asked for it; its seq is the entry's id.
local OUTPUT_KEPT = 10000
local function tell(run, event)
  if redis.call('HGET', K.run(run), 'output') ~= '1' then return end
  local seq = redis.call('HINCRBY', K.run(run), 'told', 1)
  redis.call('XADD', K.run_output(run), 'MAXLEN', '~', OUTPUT_KEPT, string.format('%d-0', seq), 'event', event)
end
