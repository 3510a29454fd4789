SELECT CASE WHEN $__timeTo()::timestamptz - $__timeFrom()::timestamptz > interval '73 hours'
       THEN 'usage_day_row' ELSE 'usage_hour_row' END
